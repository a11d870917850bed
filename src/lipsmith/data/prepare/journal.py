"""Records the complete clips of a prepared folder, and the skipped sources with their reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from lipsmith.data.clips import MANIFEST, ClipRecord, read_manifest, write_manifest
from lipsmith.data.prepare.layouts import PARTIAL, SPLITS
from lipsmith.files import write_whole

if TYPE_CHECKING:
    from lipsmith.data.prepare.clip import Outcome

LEFT_OUT: Final = "left_out.jsonl"
FAILED: Final = "failed"
"""The reason for external failures such as too little memory; the next run retries them."""


class Journal:
    """The manifest and `left_out.jsonl` of a prepared folder; a context manager that records outcomes."""

    def __init__(self, root: Path) -> None:
        """Read both, and delete partial files of interrupted runs below `root`."""
        self._root = root
        _clear(root)
        self.records = _whole_records(root)
        """Clips whose files exist."""
        self._refusals = _read_refusals(root / LEFT_OUT)
        self._files: list[TextIO] = []

    @property
    def done(self) -> set[str]:
        """Sources that yielded clips."""
        return {record.source for record in self.records}

    def left_out(self, source: Path) -> tuple[str, str] | None:
        """(reason, detail) if an earlier run skipped the source and its file has not changed since; else None."""
        reason, detail, stamp = self._refusals.get(str(source), ("", "", ""))
        return (reason, detail) if reason and stamp == _stamp(source) else None

    def add(self, outcome: Outcome) -> None:
        """Write the outcome of one source to disk immediately."""
        manifest, refusals = self._files
        self.records += outcome.records
        manifest.write("".join(json.dumps(asdict(record)) + "\n" for record in outcome.records))
        manifest.flush()
        if outcome.reason:
            refusal = (outcome.reason, outcome.detail, _stamp(Path(outcome.source)))
            self._refusals[outcome.source] = refusal
            refusals.write(json.dumps([outcome.source, *refusal]) + "\n")
            refusals.flush()

    def __enter__(self) -> Self:
        # Rewritten, because a line truncated by an interruption would merge with the next one.
        write_manifest(self._root, self.records)
        lines = (json.dumps([source, *refusal]) + "\n" for source, refusal in self._refusals.items())
        with write_whole(self._root / LEFT_OUT) as beside:
            beside.write_text("".join(lines), encoding="utf-8")
        self._files = [(self._root / name).open("a", encoding="utf-8") for name in (MANIFEST, LEFT_OUT)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
        _clear(self._root)


def _whole_records(root: Path) -> list[ClipRecord]:
    """Records of the sources whose clips all have their files; the other sources are prepared again."""
    if not (root / MANIFEST).is_file() or not (root / MANIFEST).stat().st_size:
        return []
    records = read_manifest(root)
    broken = {
        record.source
        for record in records
        if not all((root / f"{record.clip}{ending}").is_file() for ending in (".mp4", ".npz"))
    }
    return [record for record in records if record.source not in broken]


def _read_refusals(path: Path) -> dict[str, tuple[str, str, str]]:
    refusals = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(ValueError):  # truncated by an interruption, or of an older format: retried
            source, reason, detail, stamp = json.loads(line)
            if reason != FAILED:
                refusals[source] = (reason, detail, stamp)
    return refusals


def _stamp(source: Path) -> str:
    """A stamp that changes with the file, to recognize skipped sources that have not changed."""
    with suppress(OSError):
        status = source.stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    return "missing"


def _clear(root: Path) -> None:
    """Remove partial files, folders without clips, and empty lists."""
    for folder in _clip_folders(root):
        for leftover in folder.glob(f".*{PARTIAL}"):
            leftover.unlink()
        with suppress(OSError):  # not empty
            folder.rmdir()
            folder.parent.rmdir()
    for name in (MANIFEST, LEFT_OUT):
        if (root / name).is_file() and not (root / name).stat().st_size:
            (root / name).unlink()


def _clip_folders(root: Path) -> Iterator[Path]:
    for split in sorted(set(SPLITS.values())):
        yield from (folder for folder in (root / split).glob("*") if folder.is_dir())
