"""What is done of a batch, in a hidden file, so that the same command continues after an interruption."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lipsmith.errors import UsageError
from lipsmith.files import HIDDEN, LOCKS, STALE, hold, real

_LOG = logging.getLogger(__name__)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
"""Others who may write to the folder can tell the journal's name, and could make it a link to any file of the user."""

Key = Mapping[str, Any]
"""All that a result depends on, as JSON has it."""
State = list[int] | None
"""Size and time of a result; None if there is none."""


def journal_of(folder: Path, *given: Path | None) -> Path:
    """The journal in `folder` of the batch that these words of the command name."""
    words = "\0".join(str(real(path)) if path else "" for path in given)
    return folder / f"{HIDDEN}journal-{hashlib.sha256(os.fsencode(words)).hexdigest()[:12]}.jsonl"


class Journal:
    """One line for every result that is begun, and one for its end; a context manager.

    The file is removed when all is done, and stays if something failed or the batch was interrupted. Without `path`,
    nothing is kept. Raises `UsageError` if another process runs the same batch.
    """

    def __init__(self, path: Path | None, resume: bool = True) -> None:
        self._path, self._resume = path, resume
        self._begun: dict[str, tuple[Key, State]] = {}
        self._done: dict[str, tuple[Key, State]] = {}
        self._known: set[str] = set()
        self._file: int | None = None

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        _remove_stale(self._path)
        try:
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_APPEND | _NO_LINK, 0o666)
        except OSError as error:
            _LOG.info("%s keeps no journal (%s); an interrupted batch begins again.", self._path.parent, error.strerror)
            return self
        if not hold(self._file):
            os.close(self._file)
            raise UsageError("This batch runs already in another process; wait for it.")
        if self._resume:
            self._read(self._path)
        else:
            os.ftruncate(self._file, 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None or self._path is None:
            return
        is_over = error is None or not self._resume or not self._known
        if is_over and LOCKS:  # while nobody else can begin it
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        if is_over and not LOCKS:
            self._path.unlink(missing_ok=True)

    def is_done(self, output: Path, key: Key) -> bool:
        """Whether an earlier run of this batch wrote `output`, from the same inputs, and nobody changed it since."""
        name, state = _name(output), _state(output)
        if state is None:
            return False
        if name in self._begun:  # killed between the result and its line, unless the file is still that of before
            begun, before = self._begun[name]
            return begun == key and before != state
        return self._done.get(name) == (key, state)

    def knows(self, output: Path) -> bool:
        """Whether an earlier run of this batch began `output`, from whatever inputs."""
        return _name(output) in self._known

    def begin(self, output: Path, key: Key) -> None:
        """Note that `output`, which is not there or may be replaced, is being written."""
        self._note({"begun": _name(output), "key": key, "before": _state(output)})

    def finish(self, output: Path, key: Key) -> None:
        """Note that `output` is written."""
        self._note({"done": _name(output), "key": key, "state": _state(output)})

    def fail(self, output: Path) -> None:
        """Note that `output` was not written, so that a file there belongs to others."""
        if _name(output) in self._begun:
            self._note({"failed": _name(output)})

    def _note(self, line: Mapping[str, Any]) -> None:
        self._take(line)
        self._write(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        name = line.get("begun") or line.get("done") or line["failed"]
        if "begun" in line:
            self._begun[name] = (line["key"], line["before"])
        else:
            self._begun.pop(name, None)
        if "done" in line:
            self._done[name] = (line["key"], line["state"])
        self._known.add(name)

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            os.write(self._file, f"\n{json.dumps(line)}\n".encode())
            os.fsync(self._file)
        except OSError as error:
            _LOG.info("%s was not written (%s).", self._path, error.strerror)

    def _read(self, path: Path) -> None:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError, AttributeError):  # the last line may be cut off
                self._take(json.loads(line))


def _name(output: Path) -> str:
    return os.fsencode(real(output)).hex()


def _state(output: Path) -> State:
    with suppress(OSError):
        found = output.stat()
        return [found.st_size, found.st_mtime_ns]
    return None


def _remove_stale(path: Path) -> None:
    """Remove journals beside `path` that nobody has continued for a week."""
    for other in path.parent.glob(f"{HIDDEN}journal-*.jsonl"):
        with suppress(OSError):
            if other != path and time.time() - other.stat().st_mtime > STALE:
                other.unlink()
