"""The process that decodes and dubs: one model, one job at a time, and what takes a moment in between.

`python -m lipsmith.serve.worker SETTINGS` is started by the server, with its settings as JSON. A line on standard input
says that there may be something to do; its end says that the server is gone. Bytes on standard output say that a job
has changed.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final

from lipsmith import Dubber
from lipsmith.errors import LipsmithError
from lipsmith.progress import Progress
from lipsmith.serve.limits import limit_memory
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import PREVIEW, Job, Store, inputs_of
from lipsmith.serve.work import Tasks

_LOG = logging.getLogger(__name__)

_INTERVAL: Final = 0.5
"""Seconds between reports of progress."""
_MEMORY: Final = 2.0
"""Seconds that the speed of the job before counts in an estimate."""
_PATIENCE: Final = 5.0
"""Seconds after which an idle worker looks for work unasked."""


class CancelledError(Exception):
    """Whoever asked for the job does not want it any more."""


class Worker:
    """Takes jobs from the store until the process ends."""

    def __init__(self, store: Store, tasks: Tasks, settings: Settings) -> None:
        self._store, self._tasks, self._settings = store, tasks, settings
        self._speeds = {"faces": 60.0, "dubbing": 15.0, "joining": 100.0}
        self._interrupts_from = 0.0

    def work(self) -> bool:
        """Do one job; False where none waits."""
        job = self._store.claim()
        if job is not None:
            self._do(job, interruptible=job.priority > PREVIEW)
        return job is not None

    def let_pass(self) -> None:
        """Do one short job while a long one waits, unless short ones have just taken half of the time."""
        began = time.monotonic()
        if began < self._interrupts_from:
            return
        job = self._store.claim(PREVIEW)
        if job is not None:
            self._do(job, interruptible=False)
            ended = time.monotonic()
            self._interrupts_from = ended + (ended - began)

    def _do(self, job: Job, interruptible: bool) -> None:
        try:
            figures = self._tasks.run(job, _Reporter(self, self._store, job, self._speeds, interruptible))
        except CancelledError:
            self._store.finish(job.id, "cancelled", {})
        except LipsmithError as error:
            self._store.finish(job.id, "failed", {}, _for_client(str(error), job, self._settings))
        except MemoryError:
            self._store.finish(job.id, "failed", {}, "This needs more memory than a job may have; use smaller footage.")
        except Exception:
            _LOG.exception("job %s failed", job.id)
            self._store.finish(job.id, "failed", {}, "The service met an error of its own; its log says which.")
        else:
            self._store.finish(job.id, "done", figures)
        _tell()


@dataclass
class _Reporter:
    worker: Worker
    store: Store
    job: Job
    speeds: dict[str, float]
    interruptible: bool

    def stage(self, name: str, later: float = 0.0) -> Progress:
        """Begin a stage; its callback raises `CancelledError` where the job was cancelled."""
        began = last = time.monotonic()
        before = self.speeds[name]
        self._report(name, 0.0, None)

        def told(done: int, total: int) -> None:
            nonlocal began, last
            now = time.monotonic()
            if now - last < _INTERVAL and done != total:
                return
            # The first frames come late; until there are enough of them, those of the job before count as well.
            self.speeds[name] = (done + _MEMORY * before) / (now - began + _MEMORY)
            left = max(0, total - done) / self.speeds[name] + later / self.speeds["dubbing"]
            self._report(name, min(1.0, done / total) if total else 0.0, left if total else None)
            if self.interruptible:
                self.worker.let_pass()
            paused = time.monotonic() - now
            began, last = began + paused, now + paused

        return told

    def _report(self, stage: str, progress: float, eta: float | None) -> None:
        if not self.store.report(self.job.id, stage, round(progress, 4), eta if eta is None else round(eta, 1)):
            raise CancelledError
        _tell()


def _tell() -> None:
    with suppress(OSError):  # the server is gone, and so is this process in a moment
        os.write(1, b"\n")


def _for_client(sentence: str, job: Job, settings: Settings) -> str:
    """An error without paths of this machine and without words of the command line."""
    for upload, role in inputs_of(job).items():
        sentence = sentence.replace(str(settings.upload(upload)), f"The {role}")
    sentence = re.sub(re.escape(str(settings.data)) + r"[^\s:;,]*", "The file", sentence)
    sentence = re.sub(r"(?<!\S)/[^\s:;,]+", "a file of the service", sentence)
    return re.sub(r"--(?=[a-z])", "", sentence)


def _listen(bell: Event) -> None:
    """Ring the bell for every line; end this process with the server's."""
    for _ in sys.stdin:
        bell.set()
    os._exit(0)


def main(settings: Settings) -> None:
    """Load the model, then work for ever."""
    bell = Event()
    Thread(target=_listen, args=(bell,), daemon=True).start()
    limit_memory(settings.memory)
    store = Store(settings.database, durable=False)
    dubber = Dubber.from_pretrained(settings.model, settings.device, settings.threads)
    worker = Worker(store, Tasks(settings, dubber), settings)
    _LOG.info("model %s is loaded", settings.model)
    while True:
        bell.clear()
        while worker.work():
            pass
        bell.wait(_PATIENCE)


def _words() -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(sys.argv[1])
    return plain


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
    main(Settings.from_plain(_words()))
