"""Files: results appear whole and never replace what was there; weights are the ones that were published."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from lipsmith.errors import InputError, UsageError, WeightsError

_HIDDEN: Final = ".lipsmith-"
"""How names begin of what is not whole yet; short, so that a result's own name may be as long as a name can be."""
_IS_HIDDEN: Final = re.compile(re.escape(_HIDDEN) + r"[0-9a-f]{12}(\.\w+)?")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?=/)")
_READ_BY: Final = frozenset(
    {"manifest.jsonl", "left_out.jsonl", "config.json", "training.json", "landmarks.json", "renderer.json", "sync.json"}
)
"""Files by which a folder of clips, a model or a training run is read: to replace one is to lose the folder."""


def refuse_outputs(
    files: Sequence[Path | None],
    overwrite: bool,
    *,
    inputs: Collection[Path | str | None],
    folder: Path | None = None,
) -> None:
    """Raise UsageError before any work is done for results that could not be put where they were asked for.

    None of the `files`, and not the `folder` of results, may take the place of another or of one of the `inputs` that
    they are made of. What is None was not asked for.
    """
    refuse_clashes([*files, folder], inputs)
    for path in filter(None, files):
        refuse_existing(path, overwrite)
    if folder:
        refuse_filled(folder, overwrite)


def require(*paths: Path) -> None:
    """Raise InputError for a path at which nothing is."""
    for path in paths:
        try:
            found = path.exists()
        except OSError as error:  # a name longer than names can be, for one
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from error
        if not found and (address := _ADDRESS.match(str(path))):
            name = f"{address[0]}//{'/' * (address[0] == 'file:')}{str(path)[address.end() :].lstrip('/')}"
            raise InputError(f"{name} is an address, and only files are read; download it and give its path.")
        if not found:
            raise InputError(f"{path} does not exist; check the path.")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise UsageError before any work is done for a result that could not be put at `path`."""
    try:
        exists = path.exists()
    except OSError as error:
        raise UsageError(f"{path} cannot be the name of a result ({error.strerror}); choose a shorter one") from error
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if exists and not overwrite:
        raise UsageError(f"{path} exists; choose another name or add --overwrite")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"the folder {path.parent} cannot be written to; choose another")


def refuse_filled(folder: Path, overwrite: bool) -> None:
    """Raise UsageError before any work is done for a folder of results that is a file or holds something."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UsageError(f"{folder} holds files; choose another folder or add --overwrite")


def refuse_input(path: Path, *inputs: Path | str | None) -> None:
    """Raise UsageError for a result that would take the place of one of the `inputs` it is made of."""
    refuse_clashes([path], inputs)


def refuse_clashes(results: Iterable[Path | None], inputs: Iterable[Path | str | None]) -> None:
    """Raise UsageError for results of which one would take the place of another or of one of the `inputs`.

    A folder among these counts with the files by which folders of clips, models and training runs are read.
    """
    given = {Path(path).resolve() for path in inputs if path is not None}
    taken: set[Path] = set()
    for path in filter(None, results):
        target = path.resolve()
        if not given.isdisjoint(_lost_with(target)):
            raise UsageError(f"{path} would be replaced by its own result; choose another name")
        if target in taken:
            raise UsageError(f"{path} would be written more than once; give each result its own name")
        taken.add(target)


def _lost_with(target: Path) -> tuple[Path, ...]:
    """What is lost where `target` is replaced, were it an input."""
    return (target, target.parent) if target.name in _READ_BY else (target,)


@contextmanager
def hidden_beside(path: Path) -> Iterator[Path]:
    """Yield an empty hidden file beside `path`, of its suffix, for what is not whole yet; it is removed at the end.

    Raises OSError where no file can be made there. What killed processes left in the folder is removed before.
    """
    _remove_stale(path.parent)
    beside = path.with_name(f"{_HIDDEN}{secrets.token_hex(6)}{path.suffix.lower()}")
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        _lock(descriptor)
        yield beside
    finally:
        os.close(descriptor)
        beside.unlink(missing_ok=True)


def put(beside: Path, path: Path, overwrite: bool) -> None:
    """Give a hidden file that is whole the name `path`.

    Raises UsageError where another process took that name in the meantime and `overwrite` does not allow for it.
    """
    if overwrite:
        beside.replace(path)
        return
    try:
        try:
            os.link(beside, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links: take the name first, in one step
            path.touch(exist_ok=False)
            beside.replace(path)
    except FileExistsError as error:
        raise UsageError(f"{path} was written by another run meanwhile; choose another name or --overwrite") from error


@contextmanager
def write_whole(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """Yield a hidden path beside `path` to write to; it takes `path`'s name at the end, or is removed on any
    error and on interruption. The suffix is kept, for writers that go by it. See `put` for `overwrite`.
    """
    with hidden_beside(path) as beside:
        yield beside
        put(beside, path, overwrite)


def _remove_stale(folder: Path) -> None:
    """Remove hidden files that no process holds: those of processes that were killed."""
    for path in folder.glob(f"{_HIDDEN}*"):
        if not _IS_HIDDEN.fullmatch(path.name):
            continue
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                if _lock(descriptor):
                    path.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether no other process holds the file; it is ours from now on, until it is closed or we are killed."""
    try:
        import fcntl
    except ImportError:  # Windows lets nobody remove a file that is open
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def write_whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `folder` to write to, whose files then move to `folder`; removed as `write_whole`'s.

    Other files that `folder` may hold stay.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=_HIDDEN, dir=folder.parent) as hidden:
        yield Path(hidden)
        folder.mkdir(exist_ok=True)
        for path in Path(hidden).iterdir():
            path.replace(folder / path.name)


def home() -> Path:
    """Folder of the user's models and third-party weights: $LIPSMITH_HOME, or the platform's cache."""
    if named := os.environ.get("LIPSMITH_HOME"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lipsmith"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "lipsmith" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipsmith"


def check_file(path: Path, sha256: str) -> None:
    """Raise WeightsError unless `path` is a file whose SHA-256 begins with `sha256`."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing; install the model again")
    found = sha256_of(path)
    if not found.startswith(sha256):
        raise WeightsError(
            f"{path} is not the file that was published; fetch it again "
            f"(its SHA-256 begins with {found[:8]}, not with {sha256[:8]})"
        )


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, remembered while the file does not change."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
