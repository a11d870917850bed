"""The worker process: it loads one model and runs one job at a time; short jobs may interrupt longer ones.

The server starts `python -m lipsmith.serve.worker SETTINGS`, with its settings as JSON. It writes a line to standard
input when a job may be queued, and closes it on exit. The worker writes a byte to standard output when a job changes.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

from sqlalchemy.exc import OperationalError

from lipsmith import Dubber
from lipsmith.errors import LipsmithError
from lipsmith.progress import Progress
from lipsmith.serve.limits import limit_memory
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import PREVIEW, PROBE, Job, Store, inputs_of
from lipsmith.serve.supervisor import DATABASE_FAILED
from lipsmith.serve.work import Tasks

_LOG = logging.getLogger(__name__)

_INTERVAL: Final = 0.5
"""Seconds between reports of progress."""
_PRIOR_SECONDS: Final = 2.0
"""Weight of the previous job's speed in the estimated time, in seconds of measured work."""
_POLL_INTERVAL: Final = 5.0
"""Seconds between polls of an idle worker, in case it missed a line."""


class CancelledError(Exception):
    """The client canceled the job."""


class Worker:
    """Runs the jobs of a store."""

    def __init__(self, store: Store, tasks: Tasks, settings: Settings) -> None:
        self._store, self._tasks, self._settings = store, tasks, settings
        self._speeds = {"faces": 60.0, "dubbing": 15.0, "joining": 100.0}
        self._short_jobs_from = 0.0

    def run_next_job(self) -> bool:
        """Run one job; False if none is queued."""
        job = self._store.claim()
        if job is not None:
            self._run(job, PREVIEW if job.priority > PREVIEW else PROBE)
        return job is not None

    def run_short_job(self, last: int) -> bool:
        """Pause a job for one with priority `last` or lower, so that these take half of the time at most; False if none
        ran."""
        started = time.monotonic()
        if started < self._short_jobs_from:
            return False
        job = self._store.claim(last)
        if job is not None:
            self._run(job, PROBE)
            ended = time.monotonic()
            self._short_jobs_from = ended + (ended - started)
        return job is not None

    def _run(self, job: Job, interrupted_by: int) -> None:
        try:
            figures = self._tasks.run(job, _Reporter(self, self._store, job, self._speeds, interrupted_by))
        except CancelledError:
            self._store.finish(job.id, "cancelled", {})
        except LipsmithError as error:
            self._store.finish(job.id, "failed", {}, self._settings.client_message(str(error), inputs_of(job)))
        except OperationalError:  # as on a full disk: the job runs again
            raise
        except MemoryError:
            self._store.finish(job.id, "failed", {}, "The job needs too much memory; use smaller footage.")
        except Exception:
            _LOG.exception("job %s failed", job.id)
            self._store.finish(job.id, "failed", {}, "Internal error; see the log of the service.")
        else:
            self._store.finish(job.id, "done", figures)
        _notify_server()


@dataclass
class _Reporter:
    worker: Worker
    store: Store
    job: Job
    speeds: dict[str, float]
    interrupted_by: int
    """Jobs with this priority or a lower one interrupt the job."""

    def stage(self, name: str, later: float = 0.0) -> Progress:
        """Begin a stage; its callback raises `CancelledError` if the job was canceled."""
        started = last = time.monotonic()
        prior = self.speeds[name]
        self._report(name, 0.0, None)

        def on_progress(done: int, total: int) -> None:
            nonlocal started, last
            now = time.monotonic()
            if now - last < _INTERVAL and done != total:
                return
            # The first frames take longest, so the previous job's speed counts until enough frames are done.
            self.speeds[name] = (done + _PRIOR_SECONDS * prior) / (now - started + _PRIOR_SECONDS)
            left = max(0, total - done) / self.speeds[name] + later / self.speeds["dubbing"]
            state = (name, min(1.0, done / total) if total else 0.0, left if total else None)
            self._report(*state)
            if self.worker.run_short_job(self.interrupted_by):
                self._report(*state)  # the pause is no sign of a job that hangs
            paused = time.monotonic() - now
            started, last = started + paused, now + paused

        return on_progress

    def _report(self, stage: str, progress: float, eta: float | None) -> None:
        if not self.store.report(self.job.id, stage, round(progress, 4), eta if eta is None else round(eta, 1)):
            raise CancelledError
        _notify_server()


def _notify_server() -> None:
    with suppress(OSError):  # the server has exited, and this process is about to
        os.write(1, b"\n")


def _read_stdin(wake: Event) -> None:
    """Set `wake` for each line; exit when the server closes the pipe."""
    for _ in sys.stdin:
        wake.set()
    os._exit(0)


def main(settings: Settings) -> None:
    """Load the model, then run jobs until the server exits."""
    wake = Event()
    Thread(target=_read_stdin, args=(wake,), daemon=True).start()
    limit_memory(settings.memory)
    store = Store(settings.database, durable=False)
    dubber = Dubber.from_pretrained(settings.model, settings.device, settings.threads)
    worker = Worker(store, Tasks(settings, dubber), settings)
    _LOG.info("model %s is loaded", settings.model)
    try:
        while True:
            wake.clear()
            while worker.run_next_job():
                pass
            wake.wait(_POLL_INTERVAL)
    except OperationalError:
        _LOG.exception("the database failed; the running job will run again")
        os._exit(DATABASE_FAILED)  # at once, because a thread reads stdin


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C, which Windows sends to both
    logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
    main(Settings.from_json(json.loads(sys.argv[1])))
