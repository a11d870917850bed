"""Does tasks of a batch on one machine, one after the other, with one model; knows nothing of Ray."""

from __future__ import annotations

import logging
import pickle
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2

from lipsmith.cluster.tasks import Ready, Report, Task, shares_of
from lipsmith.dubbing.batch import Batch
from lipsmith.dubbing.job import Unfinished, dubbed, surroundings, with_precision, write_film
from lipsmith.dubbing.options import DubOptions, hear, options_for, said_in
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.parts import SCAN, UNFINISHED, Share, TakenError
from lipsmith.dubbing.pipeline import Dubber, Result
from lipsmith.errors import UsageError
from lipsmith.files import hidden_for
from lipsmith.inference.backend import Precision
from lipsmith.progress import ProgressOf

_LOG = logging.getLogger("lipsmith")
_LOCK_TRIES: Final = 24
"""Times that a task waits for a lock, because a machine that is lost may hold its own on shared storage for a while."""
_LOCK_PAUSE: Final = 5.0
"""Seconds from one of them to the next."""


@dataclass
class Worker:
    """Holds the model; `load` comes first."""

    dubber_of: Callable[[Precision], Dubber]
    options: DubOptions
    threads: int
    surroundings: Mapping[str, Any]
    """What every machine must have in common; see `dubbing.job.surroundings`."""
    level: int
    """From which lines are logged."""
    _batches: dict[Precision, Batch] = field(default_factory=dict)
    _drawn: tuple[Job, Result] | None = None

    def load(self) -> Ready:
        """Load the model. The error says what this machine lacks."""
        with _collected(self.level) as lines:
            error = _error_of(self._load)
            precision = "auto" if error else self._batch(self.options.precision).dubber.precision
            return Ready(platform.node(), error, precision, lines)

    def work(self, task: Task) -> Report:
        """Do a task. A film that is worth it is not dubbed but split."""
        with _collected(self.level) as lines:
            shares: list[Task] = []
            work = partial(self._film, task, shares) if task.share is None else partial(self._draw, task, task.share)
            error = _error_of(work)
            return Report(error, shares, lines)

    def _load(self) -> None:
        cv2.setNumThreads(self.threads)
        for name, found in surroundings().items():
            if found != self.surroundings[name]:
                raise UsageError(
                    f"{platform.node()} differs from the machine of this command in the {name}: {found} instead of "
                    f"{self.surroundings[name]}; install the same on both."
                )
        self._batch(self.options.precision)

    def _film(self, task: Task, shares: list[Task]) -> None:
        batch = with_precision(self._batch, [task.job.output], self.options, task.precision)

        def write(result: Result, out: Path, options: DubOptions, progress_of: ProgressOf, kept: Unfinished) -> None:
            found = shares_of(result, out) if task.may_split and options.resume else []
            if len(found) > 1:
                shares.extend(Task(task.job, share, batch.dubber.precision) for share in found)
                kept.keep_scan(result.clip, len(result))
                kept.leave()
                self._drawn = task.job, result
            else:
                write_film(result, out, options, progress_of, kept)

        _patiently(partial(batch.dub, task.job, lambda: None, write), task)

    def _draw(self, task: Task, share: Share) -> None:
        if self._drawn is None or self._drawn[0] != task.job:
            self._drawn = task.job, self._result(task)
        manner = {"side_by_side": self.options.side_by_side, "label": self.options.label}
        _patiently(partial(self._drawn[1].draw, share, share.out, **manner), task)

    def _result(self, task: Task) -> Result:
        job = task.job
        said = said_in(job.speech)
        options, scan = options_for(said, self.options), hidden_for(job.output, UNFINISHED) / SCAN
        dubber = self._batch(task.precision).dubber
        clip = dubber.prepare(job.video, options.face, options.start, options.end, known=scan)
        return dubbed(clip, hear(said), options)

    def _batch(self, precision: Precision) -> Batch:
        """The batch, with its dubber, that draws with a precision."""
        if precision not in self._batches:
            batch = Batch(self.dubber_of(precision), self.options)
            self._batches[precision] = self._batches.setdefault(batch.dubber.precision, batch)
        return self._batches[precision]


def _patiently(work: Callable[[], object], task: Task) -> None:
    """Do the work, again and again while another process holds the result of a task that a lost worker had."""
    for _ in range(_LOCK_TRIES if task.tries else 0):
        try:
            work()
        except TakenError:
            time.sleep(_LOCK_PAUSE)
        else:
            return
    work()


def _error_of(work: Callable[[], object]) -> Exception | None:
    """The error that `work` raises, as another process can read it."""
    try:
        work()
    except Exception as error:
        _LOG.debug("", exc_info=True)
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error.with_traceback(None)
    return None


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, self.format(record).strip()))


@contextmanager
def _collected(level: int) -> Iterator[list[tuple[int, str]]]:
    """What the library logs inside the `with`."""
    handler, before = _Lines(), _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(level)
    try:
        yield handler.lines
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(before)
