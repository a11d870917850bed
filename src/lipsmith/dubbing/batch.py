"""Runs many dubs, and reports failures."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from lipsmith.dubbing.job import Unfinished, check_job, dubbed, files_of, key_of, remove_finished, write_film
from lipsmith.dubbing.journal import Journal
from lipsmith.dubbing.options import DubOptions, hear, options_for, said_in
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.pipeline import Clip, Dubber, Result
from lipsmith.errors import InputError, LipsmithError, SomeFailedError, UsageError, blames_inputs
from lipsmith.files import refuse_clashes
from lipsmith.inference.model_folder import ModelConfig
from lipsmith.media.container import is_result
from lipsmith.progress import ProgressOf, unwatched

_LOG = logging.getLogger(__name__)

_NAMED: Final = 5  # files in a log line
_KEPT: Final = (
    "Results that exist and are newer than their films and speech: %d of %d. They are skipped, whatever the options "
    "are; add --overwrite to make them again."
)


Outcomes = Generator[tuple[Job, Exception | None], None, None]
"""Each job when it is over, with the error that made it fail."""
Write = Callable[[Result, Path, DubOptions, ProgressOf, Unfinished], object]


@dataclass
class Batch:
    """Runs jobs one after the other; footage shared by consecutive jobs is prepared once."""

    dubber: Dubber
    options: DubOptions
    progress_of: ProgressOf = unwatched
    _prepared: tuple[tuple[Path, str], Clip | LipsmithError] | None = field(default=None, init=False)
    """The footage of the last job and which faces of it were chosen, and what became of it."""

    def run(self, jobs: Sequence[Job], journal: Path | None = None) -> Iterator[Path]:
        """The results, each as it is written; see `run_all`."""
        return run_all(jobs, self.options, self.dubber.config, self._outcomes, journal)

    def _outcomes(self, jobs: Sequence[Job], noted: Noted) -> Outcomes:
        for job in jobs:
            try:
                self.dub(job, partial(noted.begin, job))
            except Exception as error:  # whatever it is, the others shall not pay for it
                yield job, error
            else:
                yield job, None

    def dub(self, job: Job, begin: Callable[[], None], write: Write | None = None) -> None:
        """Run one job; calls `begin` when its result is being written, by `write` instead of `job.write_film`."""
        said = said_in(job.speech)
        options = options_for(said, self.options)
        check_job(job.video, said, job.output, options)
        recording = hear(said)
        key = key_of(job.video, said, options, self.dubber.config, self.dubber.precision)
        with Unfinished(job.output, key, options.resume) as kept:
            footage = (job.video, options.face)
            if self._prepared is None or self._prepared[0] != footage:
                self._prepared = None
                self._prepared = footage, self._prepare(job.video, options, kept)
            if isinstance(self._prepared[1], LipsmithError):
                raise self._prepared[1]
            begin()
            result = dubbed(self._prepared[1], recording, options)
            (write or write_film)(result, job.output, options, self.progress_of, kept)

    def _prepare(self, video: Path, options: DubOptions, kept: Unfinished) -> Clip | LipsmithError:
        """The prepared footage, or the error in it, which then is that of the footage's next jobs, too."""
        known = kept.scan()
        try:
            with (unwatched if known else self.progress_of)(f"{video.name}: faces") as progress:
                return self.dubber.prepare(
                    video, options.face, options.start, options.end, progress=progress, known=known
                )
        except (InputError, UsageError) as error:
            if not blames_inputs(error):
                raise
            return error


@dataclass(frozen=True)
class Noted:
    """What is done of a batch of dubs with `options` by a `model`."""

    journal: Journal
    options: DubOptions
    model: ModelConfig

    def is_done(self, job: Job) -> bool:
        """Whether this batch wrote the result before, from the same inputs."""
        with suppress(OSError, LipsmithError):  # it is raised when its turn comes
            return self.journal.is_done(job.output, self._key(job))
        return False

    def is_kept(self, job: Job) -> bool:
        """Whether the result of a complete batch, with whatever options, is there and newer than its inputs."""
        if self.options.overwrite or self.journal.knows(job.output):
            return False
        with suppress(OSError, LipsmithError):
            inputs = [job.video, job.speech, *files_of(said_in(job.speech)), *filter(None, [self.options.background])]
            newest = max(path.stat().st_mtime_ns for path in inputs)
            return job.output.stat().st_mtime_ns > newest and is_result(job.output)
        return False

    def begin(self, job: Job) -> None:
        """Note that the result, which is not there or may be replaced, is being written."""
        self.journal.begin(job.output, self._key(job))

    def finish(self, job: Job) -> None:
        """Note that the result is written."""
        self.journal.finish(job.output, self._key(job))

    def fail(self, job: Job) -> None:
        """Note that the result was not written."""
        self.journal.fail(job.output)

    def _key(self, job: Job) -> dict[str, Any]:
        """What the result depends on; the precision as asked for, because what is taken depends on the moment."""
        said = said_in(job.speech)
        return key_of(job.video, said, options_for(said, self.options), self.model, self.options.precision)


def run_all(
    jobs: Sequence[Job],
    options: DubOptions,
    model: ModelConfig,
    outcomes: Callable[[Sequence[Job], Noted], Outcomes],
    journal: Path | None = None,
) -> Iterator[Path]:
    """The results, each as it is written, of jobs run by `outcomes`, which notes what is begun.

    A job that fails does not cost the others: a warning says why at once, and `SomeFailedError` comes at the end, with
    a reason for each. A single job's own error is raised as it is. `journal`: where to note what is done; the results
    that an interrupted run of the same batch wrote come first, as do those of a complete batch that are newer than
    their inputs, and are not made again. Raises `UsageError` before any work where a result would take the place of
    another one or of what a job is made of.
    """
    refuse_clashes([job.output for job in jobs], _made_of(jobs, options))
    failures: list[tuple[str, str]] = []
    with Journal(journal, options.resume) as lines:
        noted = Noted(lines, options, model)
        present = _present(jobs, noted)
        for job in jobs:
            if job in present:
                remove_finished(job.output)
                yield job.output
        left = sorted((job for job in jobs if job not in present), key=lambda job: job.video)
        if len(jobs) > 1:
            _warn_missing(left)
        with closing(outcomes(left, noted)) as ended:
            for job, error in ended:
                if error is None:
                    noted.finish(job)
                    yield job.output
                    continue
                noted.fail(job)
                if len(jobs) == 1:
                    raise error
                trace = error if _LOG.isEnabledFor(logging.DEBUG) else None
                _LOG.warning("%s failed: %s", job.output, error, exc_info=trace)
                failures.append((str(job.output), str(error)))
        if failures:
            raise SomeFailedError(failures, len(jobs))


def _warn_missing(jobs: Sequence[Job]) -> None:
    """Warn at once about inputs that do not exist: hours may pass until the turn of their jobs."""
    inputs = {path for job in jobs for path in (job.video, job.speech)}
    missing = sorted(path for path in inputs if not os.path.exists(path))  # noqa: PTH110 - Path's fails at long names
    if missing:
        names = ", ".join(map(str, missing[:_NAMED])) + (", ..." if len(missing) > _NAMED else "")
        _LOG.warning("Films or speech files that do not exist: %d (%s); their dubs will fail.", len(missing), names)


def _present(jobs: Sequence[Job], noted: Noted) -> set[Job]:
    """The jobs whose results need not be made; a log line says how many, and why."""
    made = {job for job in jobs if noted.is_done(job)}
    if made:
        _LOG.info("Results from before: %d of %d; the batch continues.", len(made), len(jobs))
    kept = {job for job in jobs if job not in made and noted.is_kept(job)}
    if kept:
        _LOG.info(_KEPT, len(kept), len(jobs))
    return made | kept


def _made_of(jobs: Sequence[Job], options: DubOptions) -> Iterator[Path | None]:
    """The inputs of all jobs, and of each table of turns its speeches."""
    yield options.background
    for job in jobs:
        yield from (job.video, job.speech)
        with suppress(OSError, LipsmithError):  # a table that cannot be read fails when its turn comes
            yield from files_of(said_in(job.speech))
