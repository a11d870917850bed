"""Prepares clips in parallel processes, so that a clip that crashes its process does not affect the others."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from lipsmith.data.prepare.journal import FAILED
from lipsmith.data.prepare.layouts import Job
from lipsmith.disk import not_written
from lipsmith.files import DISK_FULL
from lipsmith.inference.model_folder import usable_cores

if TYPE_CHECKING:
    from lipsmith.data.prepare.clip import Outcome

_LOG = logging.getLogger(__name__)

Task = tuple[Job, Path, int]
T = TypeVar("T")


def outcomes(jobs: list[Job], root: Path, side: int, workers: int | None) -> Generator[Outcome, None, None]:
    """Outcomes in order of completion, from one process per core (or `workers`); the processes end with the generator.

    A single worker runs in this process, which a clip may then crash. Raises LipsmithError if the disk is full.
    """
    tasks = [(job, root, side) for job in jobs]
    if workers == 1:
        yield from map(_run, tasks)
    else:
        yield from _side_by_side(tasks, workers or usable_cores())


def _side_by_side(tasks: list[Task], count: int) -> Generator[Outcome, None, None]:
    waiting = deque(tasks)
    running: dict[Future[Outcome], Task] = {}
    while waiting:
        with processes(count) as pool, suppress(BrokenProcessPool):
            yield from _completed(pool, waiting, running, count)
        # It is unknown which of these crashed its process and thus the pool, so each is retried in a separate pool.
        yield from map(_alone, running.values())
        running.clear()


def _completed(
    pool: ProcessPoolExecutor, waiting: deque[Task], running: dict[Future[Outcome], Task], count: int
) -> Iterator[Outcome]:
    """Outcomes until none is `waiting`. Raises BrokenProcessPool once the process of a `running` task dies."""
    while waiting or running:
        while waiting and len(running) < count:
            running[submit(pool, _run, waiting[0])] = waiting[0]
            waiting.popleft()
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            outcome = future.result()
            del running[future]
            yield outcome


def _alone(task: Task) -> Outcome:
    try:
        with processes(1) as pool:
            return submit(pool, _run, task).result()
    except BrokenProcessPool:
        return _failure(
            task[0], "preparing it crashed its process twice; it may be damaged, or too large for the memory"
        )


def submit(pool: ProcessPoolExecutor, function: Callable[..., T], *given: object) -> Future[T]:
    """Submit a call. Processes that start for it ignore interrupts from their first instruction on."""
    if not hasattr(signal, "pthread_sigmask"):
        return pool.submit(function, *given)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # new processes inherit it
    try:
        return pool.submit(function, *given)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block, even while they are working."""
    # Spawned, because a fork of a process that has used a thread pool may hang.
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    most = 61 if sys.platform == "win32" else count  # Windows waits for no more
    with theirs, ProcessPoolExecutor(min(count, most), context, _begin, (theirs,)) as pool, ours:
        yield pool


def _begin(parent: Connection) -> None:
    """Limit a worker to one thread, because clips run in parallel. The parent handles interrupts."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    """End this process when the parent closes the pipe or dies; the pool itself would wait for the current clip."""
    parent.poll(None)
    os._exit(1)


def _run(task: Task) -> Outcome:
    from lipsmith.data.prepare.clip import prepare_clip
    from lipsmith.face import FaceTracker

    job, root, side = task
    try:
        return prepare_clip(job, root, side, FaceTracker(max_faces=2))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise not_written(root, error) from error  # no other clip could be written either
        # An unexpected error must not stop the other clips; it is reported in the summary.
        _LOG.debug("%s", job.source, exc_info=True)
        return _failure(job, f"{type(error).__name__}: {error}")


def _failure(job: Job, why: str) -> Outcome:
    from lipsmith.data.prepare.clip import Outcome

    return Outcome(str(job.source), reason=FAILED, detail=f"{job.source}: {why}")
