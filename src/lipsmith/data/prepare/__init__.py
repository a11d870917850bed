"""Prepares footage for training, with the same tracking, cropping and speech features as dubbing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lipsmith.data.clips import ClipRecord, prepared_side
from lipsmith.data.prepare.journal import FAILED, LEFT_OUT, Journal
from lipsmith.data.prepare.layouts import Job, distinct, find_jobs
from lipsmith.data.prepare.workers import outcomes
from lipsmith.disk import folder_lock
from lipsmith.errors import InputError, UsageError
from lipsmith.progress import Progress

__all__ = ["LEFT_OUT", "Summary", "prepare"]


@dataclass(frozen=True)
class Summary:
    """The clips of a run, and the contents of the prepared folder after it."""

    records: list[ClipRecord]
    """All clips of the folder."""
    fresh: list[ClipRecord]
    """Clips of this run."""
    sources: int
    """Number of source files of this run."""
    left_out: dict[str, tuple[str, str]]
    """Sources without clips in this or an earlier run, with (reason, detail)."""


def prepare(
    sources: Iterable[str | Path],
    root: Path,
    *,
    side: int = 128,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Prepare files, folders or globs below `root`; finished clips of earlier runs are kept.

    A source that an earlier run skipped is retried only if its file has changed, or if it failed for an external reason
    such as a full disk.

    Args:
        sources: media files, folders of them, or patterns such as `footage/**/*.mp4`.
        root: the folder of prepared clips, created if missing; footage below it is ignored.
        side: of the crops, pixels.
        workers: processes, each on one clip at a time; None for one per core, 1 for this process alone.
            They import the calling script again, so protect its code with `if __name__ == "__main__":`.
        progress: called with the number of sources done and their total.

    Raises:
        InputError: a source is missing or has no media file, or no source yields a clip.
        UsageError: `root` holds crops of another size, or another run is using it.
        LipsmithError: the disk is full; with room, the same call continues.
    """
    jobs = find_jobs(sources, root)
    if not jobs:
        raise InputError(f"{root}: all footage is inside the result folder; choose another result folder.")
    root.mkdir(parents=True, exist_ok=True)
    with folder_lock(root, "preparing clips"):
        return _prepare(jobs, root, side, workers, progress)


def _prepare(jobs: list[Job], root: Path, side: int, workers: int | None, progress: Progress | None) -> Summary:
    journal = Journal(root)
    _check_side(root, journal.records, side)
    before, done = len(journal.records), journal.done
    left_out = {str(job.source): why for job in jobs if (why := journal.left_out(job.source))}
    missing = [job for job in jobs if str(job.source) not in done | left_out.keys()]
    named = distinct(missing, (record.clip for record in journal.records))
    with journal, closing(outcomes(named, root, side, workers)) as found:
        for count, outcome in enumerate(found, len(jobs) - len(missing) + 1):
            journal.add(outcome)
            if outcome.reason:
                left_out[outcome.source] = (outcome.reason, outcome.detail)
            if progress:
                progress(count, len(jobs))
    if len(left_out) == len(jobs):
        raise InputError(_nothing(left_out))
    return Summary(journal.records, journal.records[before:], len(jobs), left_out)


def _check_side(root: Path, records: list[ClipRecord], side: int) -> None:
    if not records:
        return
    found = prepared_side(root, records[0])
    if found != side:
        raise UsageError(f"{root} has crops of {found} pixels, not {side}; choose another folder or a side of {found}.")


def _nothing(left_out: dict[str, tuple[str, str]]) -> str:
    if len(left_out) == 1:
        ((source, (reason, detail)),) = left_out.items()
        return detail or f"{source}: {reason}; give footage of one speaking face, with its sound."
    for reason, detail in left_out.values():
        if reason == FAILED:
            return f"None of {len(left_out)} sources could be prepared: {detail}"
    reasons = ", ".join(sorted({reason for reason, _ in left_out.values()}))
    return f"None of {len(left_out)} sources could be prepared ({reasons}); give footage of one speaking face."
