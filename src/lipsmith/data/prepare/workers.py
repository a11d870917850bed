"""Clips prepared side by side, in processes that may die of one without a loss to the others."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from lipsmith.data.prepare.journal import FAILED
from lipsmith.data.prepare.layouts import Job
from lipsmith.inference.backend import usable_cores

if TYPE_CHECKING:
    from lipsmith.data.prepare.clip import Outcome

logger = logging.getLogger(__name__)

Task = tuple[Job, Path, int]


def outcomes(jobs: list[Job], root: Path, size: int, workers: int | None) -> Generator[Outcome, None, None]:
    """Outcomes as they come, from as many processes as there are cores (or `workers`); they end with the generator.

    One worker is this very process, which then dies of a clip that kills it.
    """
    tasks = [(job, root, size) for job in jobs]
    if workers == 1:
        yield from map(_run, tasks)
    else:
        yield from _side_by_side(tasks, workers or usable_cores())


def _side_by_side(tasks: list[Task], count: int) -> Generator[Outcome, None, None]:
    waiting = deque(tasks)
    running: dict[Future[Outcome], Task] = {}
    while waiting:
        with _pool(count) as pool, suppress(BrokenProcessPool):
            yield from _completed(pool, waiting, running, count)
        # Nobody tells which of these killed its process (and so the pool). Alone, it can take no other along.
        yield from map(_alone, running.values())
        running.clear()


def _completed(
    pool: ProcessPoolExecutor, waiting: deque[Task], running: dict[Future[Outcome], Task], count: int
) -> Iterator[Outcome]:
    """Outcomes until none is `waiting`. Raises BrokenProcessPool once a process dies, of one of those `running`."""
    while waiting or running:
        while waiting and len(running) < count:
            running[pool.submit(_run, waiting[0])] = waiting[0]
            waiting.popleft()
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            outcome = future.result()
            del running[future]
            yield outcome


def _alone(task: Task) -> Outcome:
    try:
        with _pool(1) as pool:
            return pool.submit(_run, task).result()
    except BrokenProcessPool:
        return _failure(
            task[0], "preparing it killed its process twice; it may be damaged, or too large for the memory"
        )


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block, whatever they are at."""
    # Fresh ones: a forked copy of a process that has used a thread pool may hang.
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    with theirs, ProcessPoolExecutor(count, context, _begin, (theirs,)) as pool, ours:
        yield pool


def _begin(parent: Connection) -> None:
    """One thread a worker: the clips are the parallelism. Interrupts are the parent's to handle."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    """End this process when the parent hangs up, as also its death does: the pool would wait for the clip at work."""
    parent.poll(None)
    os._exit(1)


def _run(task: Task) -> Outcome:
    from lipsmith.data.prepare.clip import prepare_clip
    from lipsmith.face import FaceTracker

    job, root, size = task
    try:
        return prepare_clip(job, root, size, FaceTracker(max_faces=2))
    except Exception as error:
        # One clip's surprise must not cost the others their work; it is told in the summary.
        logger.debug("%s", job.source, exc_info=True)
        return _failure(job, f"{type(error).__name__}: {error}")


def _failure(job: Job, why: str) -> Outcome:
    from lipsmith.data.prepare.clip import Outcome

    return Outcome(str(job.source), reason=FAILED, detail=f"{job.source}: {why}")
