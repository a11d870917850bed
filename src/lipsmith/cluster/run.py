"""Runs a batch on a cluster: gives tasks to workers, keeps the journal, and reports as a batch on one machine does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from lipsmith.cluster.schedule import Schedule
from lipsmith.cluster.tasks import RemoteWorker, Report, Task
from lipsmith.cluster.worker import Worker
from lipsmith.dubbing.batch import Noted, Outcomes, run_all
from lipsmith.dubbing.job import check_job, surroundings
from lipsmith.dubbing.options import DubOptions, said_in
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.pipeline import Dubber
from lipsmith.errors import UsageError
from lipsmith.files import remove_stale
from lipsmith.inference.model_folder import find_model
from lipsmith.progress import ProgressOf, unwatched

_LOG = logging.getLogger(__name__)

THREADS: Final = 1
"""Cores of a worker: films are dubbed side by side, each on one."""


class Workers(Protocol):
    """The workers; see `pool.Pool`."""

    @property
    def idle(self) -> Sequence[RemoteWorker]:
        """Workers that have nothing to do."""

    def grow(self, waiting: int) -> None:
        """Start workers for so many tasks, if there is room for them."""

    def start(self, worker: RemoteWorker, task: Task) -> None:
        """Give a task to an idle worker."""

    def wait(self) -> tuple[Task, Report | None] | None:
        """The next task that ended, with its report, or None if its worker was lost; None if none ended."""


@dataclass
class ClusterBatch:
    """Runs jobs on a Ray cluster whose machines see the same files under the same names."""

    options: DubOptions
    model: str | Path = "fast"
    device: str = "auto"
    threads: int | None = None
    """Cores of each worker."""
    progress_of: ProgressOf = unwatched

    def run(self, jobs: Sequence[Job], journal: Path | None = None) -> Iterator[Path]:
        """The results, each as it is written; see `dubbing.batch.run_all`.

        Raises `WeightsError` and `UsageError` where the model or the machines lack something, `LipsmithError` where
        no cluster answers or none of its workers starts.
        """
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"Device {self.device}: Ray chooses the GPU of each worker; give cuda, cpu or auto.")
        return run_all(jobs, self.options, find_model(self.model).settings, self._outcomes, journal)

    def _outcomes(self, jobs: Sequence[Job], noted: Noted) -> Outcomes:
        if not jobs:
            return
        from lipsmith.cluster.pool import Pool

        threads = self.threads or THREADS
        make = partial(
            Worker,
            partial(Dubber.from_pretrained, _named(self.model), self.device, threads),
            _plain(self.options),
            threads,
            surroundings(),
            logging.getLogger("lipsmith").getEffectiveLevel(),
        )
        try:
            with Pool(make, threads, gpus=int(self.device == "cuda")) as pool:
                yield from outcomes(jobs, noted, pool, self.progress_of)
        finally:
            for folder in {job.output.parent for job in jobs}:
                remove_stale(folder)


def _named(model: str | Path) -> str | Path:
    """The model by a name, or by a path that does not depend on the working folder."""
    found = find_model(model).path
    return found.absolute() if found == Path(model) else model


def _plain(options: DubOptions) -> DubOptions:
    """The options of a dub alone, without those of a command, and with absolute paths."""
    values = {field.name: getattr(options, field.name) for field in fields(DubOptions)}
    background = options.background.absolute() if options.background else None
    return DubOptions(**values | {"background": background})


def outcomes(jobs: Sequence[Job], noted: Noted, workers: Workers, progress_of: ProgressOf = unwatched) -> Outcomes:
    """Each job when it is over, run by `workers`; the films of lost workers go to others."""
    named = {Job(job.video.absolute(), job.speech.absolute(), job.output.absolute()): job for job in jobs}
    schedule = Schedule(list(named))
    with progress_of("films") as progress:
        while schedule.left:
            for task, report in _step(schedule, named, noted, workers):
                for level, line in report.lines:
                    _LOG.log(level, "%s", line)
                if schedule.end(task, report):
                    yield named[task.job], report.error
                    if progress is not None:
                        progress(len(jobs) - schedule.left, len(jobs))


def _step(schedule: Schedule, named: dict[Job, Job], noted: Noted, workers: Workers) -> Iterator[tuple[Task, Report]]:
    """Give all idle workers something to do, and wait until something happens; the tasks that ended."""
    workers.grow(schedule.waiting)
    for worker in workers.idle:
        while (task := schedule.take(worker.video)) is not None:
            if (refused := _refused(task, named[task.job], noted)) is None:
                workers.start(worker, task)
                break
            yield task, refused
    ended = workers.wait() if schedule.left else None
    if ended is None:
        return
    task, report = ended
    if task.share is None and (report is None or (report.error and task.tries)) and noted.is_done(named[task.job]):
        report = Report()  # a worker that counts as lost has written it
    report = report or schedule.lose(task)
    if report is not None:
        yield task, report


def _refused(task: Task, job: Job, noted: Noted) -> Report | None:
    """The report on a film that cannot be dubbed; else note that it is begun."""
    if task.share is not None or task.tries or not task.may_split:
        return None
    try:
        check_job(job.video, said_in(job.speech), job.output, noted.options)
    except Exception as error:  # whatever it is, the others shall not pay for it
        return Report(error)
    noted.begin(job)
    return None
