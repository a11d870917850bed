"""Decides which task is next, and what follows from the end or the loss of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from lipsmith.cluster.tasks import Report, Task
from lipsmith.dubbing.pairs import Job
from lipsmith.errors import LipsmithError

TRIES: Final = 3
"""Workers that may be lost over one task, which may be its fault."""


class Schedule:
    """The tasks of a batch; every job is over once."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = deque(Task(job) for job in jobs)
        self._open = set(jobs)
        self._shares: dict[Job, int] = {}

    @property
    def left(self) -> int:
        """Jobs that are not over."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Tasks that nobody works on."""
        return len(self._waiting)

    def take(self, video: Path | None) -> Task | None:
        """The next task, if possible one of the footage `video`, which that worker has prepared."""
        if not self._waiting:
            return None
        task = next((task for task in self._waiting if task.job.video == video), self._waiting[0])
        self._waiting.remove(task)
        return task

    def end(self, task: Task, report: Report) -> bool:
        """Note how a task ended; returns whether its job is over."""
        job = task.job
        if job not in self._open:  # another share of it failed
            return False
        if report.error is None and report.shares:
            self._shares[job] = len(report.shares)
            self._waiting.extendleft(reversed(report.shares))
            return False
        if report.error is None and task.share is not None:
            self._shares[job] -= 1
            if not self._shares[job]:
                self._waiting.appendleft(Task(job, may_split=False))
            return False
        self._open.remove(job)
        self._waiting = deque(other for other in self._waiting if other.job != job)
        return True

    def lose(self, task: Task) -> Report | None:
        """Give a task of a lost worker to another; the report with which it ends if that happened too often."""
        if task.job not in self._open:  # another share of it failed
            return None
        if task.tries + 1 < TRIES:
            self._waiting.append(replace(task, tries=task.tries + 1))
            return None
        name = task.job.video.name
        return Report(LipsmithError(f"{name}: {TRIES} workers were lost over it; dub it on one machine to see why."))
