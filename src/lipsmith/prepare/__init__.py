"""Footage to training data: the same tracking, cropping and speech features that a user's video meets at dubbing."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lipsmith.dataset import MANIFEST, ClipRecord, read_manifest, write_manifest
from lipsmith.errors import InputError
from lipsmith.prepare.layouts import PARTIAL, Job, find_jobs

if TYPE_CHECKING:
    from lipsmith.prepare.clip import Outcome

__all__ = ["Summary", "prepare"]

logger = logging.getLogger(__name__)

LEFT_OUT: Final = "left_out.jsonl"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Summary:
    """What a prepared folder holds after a run."""

    records: list[ClipRecord]
    left_out: dict[str, tuple[str, str]]
    """Source to (reason, detail)."""


def prepare(
    sources: Iterable[str | Path],
    root: Path,
    *,
    size: int = 128,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Prepare files, folders or globs below `root`; work that an earlier, interrupted run finished is kept.

    Crops have side `size`. Raises InputError where no source yields anything.
    """
    jobs = find_jobs(sources)
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    done, left_out = _journal(root)
    missing = [job for job in jobs if str(job.source) not in done | left_out.keys()]
    with (root / MANIFEST).open("a") as manifest, (root / LEFT_OUT).open("a") as refusals:
        for count, outcome in enumerate(_outcomes(missing, root, size, workers), len(jobs) - len(missing) + 1):
            for record in outcome.records:
                manifest.write(json.dumps(asdict(record)) + "\n")
            if outcome.reason:
                left_out[outcome.source] = (outcome.reason, outcome.detail)
                refusals.write(json.dumps([outcome.source, outcome.reason, outcome.detail]) + "\n")
            manifest.flush()
            refusals.flush()
            if progress:
                progress(count, len(jobs))
    if not any(str(job.source) not in left_out for job in jobs):
        reasons = ", ".join(sorted({reason for reason, _ in left_out.values()}))
        raise InputError(f"{root}: nothing could be prepared ({reasons}); name footage of one speaking face")
    return Summary(read_manifest(root), left_out)


def _outcomes(jobs: list[Job], root: Path, size: int, workers: int | None) -> Iterator[Outcome]:
    """Outcomes as they come, from as many processes as there are cores (or `workers`)."""
    count = min(workers or os.cpu_count() or 1, len(jobs))
    tasks = [(job, root, size) for job in jobs]
    if count <= 1:
        yield from map(_run, tasks)
        return
    # Fresh processes: a forked copy of a process that has used a thread pool may hang.
    with multiprocessing.get_context("spawn").Pool(count, _limit_threads) as pool:
        yield from pool.imap_unordered(_run, tasks)


def _run(task: tuple[Job, Path, int]) -> Outcome:
    from lipsmith.face import FaceTracker
    from lipsmith.prepare.clip import FAILED, Outcome, prepare_clip

    job, root, size = task
    try:
        return prepare_clip(job, root, size, FaceTracker(max_faces=2))
    except Exception as error:
        # One clip's surprise must not cost the others their work; it is told in the summary.
        logger.debug("%s", job.source, exc_info=True)
        return Outcome(str(job.source), reason=FAILED, detail=f"{type(error).__name__}: {error}")


def _limit_threads() -> None:
    """One thread a worker: the clips are the parallelism. Interrupts are the parent's to handle."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _journal(root: Path) -> tuple[set[str], dict[str, tuple[str, str]]]:
    """Sources done and sources left out by earlier runs."""
    try:
        records = read_manifest(root)
    except InputError:
        records = []
    # A line cut short by an interruption would swallow the next one.
    write_manifest(root, records)
    left_out: dict[str, tuple[str, str]] = {}
    refusals = root / LEFT_OUT
    for line in refusals.read_text(encoding="utf-8").splitlines() if refusals.is_file() else ():
        with suppress(ValueError):
            source, reason, detail = json.loads(line)
            left_out[source] = (reason, detail)
    refusals.write_text("".join(json.dumps([k, *v]) + "\n" for k, v in left_out.items()), encoding="utf-8")
    return {record.source for record in records}, left_out


def _sweep(root: Path) -> None:
    """Remove what an interrupted run left half-written."""
    for leftover in root.rglob(f".*{PARTIAL}"):
        leftover.unlink()
