"""Keeps the worker alive, and decides what becomes of the job during which it died."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final

from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Store

_LOG = logging.getLogger(__name__)

_SILENCE: Final = 900.0
"""Seconds without a report after which a job hangs."""
_GLANCE: Final = 5.0
_QUICK: Final = 5.0
_LONGEST_PAUSE: Final = 10.0
# Windows has neither; there a worker ends with another code.
_KILLED: Final = -getattr(signal, "SIGKILL", 9)
_OUT_OF_TIME: Final = -getattr(signal, "SIGXCPU", 24)
_KILLED_OFTEN: Final = 20
_CRASHED_OFTEN: Final = 2


class Supervisor:
    """Runs one worker process, and another whenever it ends."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._process: Process | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.changed = asyncio.Event()
        """Set when a job changes, and then another takes its place: get it before looking at a job, then wait."""
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The worker's, while there is one."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def ring(self) -> None:
        """Tell the worker, and who waits for changes, that there may be something new; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._write)
            self._loop.call_soon_threadsafe(self._notify)

    async def run(self) -> None:
        """Keep a worker until cancelled; its job then waits for the next start."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._store.requeue)
        pause = 0.1
        try:
            while True:
                began = time.monotonic()
                self._process = await self._start()
                hearing = asyncio.create_task(self._hear(self._process))
                await self._watch(self._process)
                hearing.cancel()
                await asyncio.to_thread(self._bury, self._process.returncode or 0)
                self._notify()
                self.restarts += 1
                pause = min(_LONGEST_PAUSE, 2 * pause) if time.monotonic() - began < _QUICK else 0.1
                await asyncio.sleep(pause)
        finally:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    def _write(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError, RuntimeError):
                self._process.stdin.write(b"\n")

    def _notify(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def _hear(self, process: Process) -> None:
        assert process.stdout is not None
        while await process.stdout.read(4096):
            self._notify()

    async def _start(self) -> Process:
        scratch = self._settings.data / "tmp"
        words = (sys.executable, "-m", "lipsmith.serve.worker", json.dumps(self._settings.for_worker()))
        # Decoders keep reference pictures in temporary files, which belong to the data folder as well.
        environment = os.environ | {"TMPDIR": str(scratch)}
        environment.pop("LIPSMITH_TOKEN", None)
        return await asyncio.create_subprocess_exec(
            *words, stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True
        )

    async def _watch(self, process: Process) -> None:
        """Return when the process has ended; end it where its job hangs."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _GLANCE)
                return
            running = await asyncio.to_thread(self._store.running)
            if running and time.time() - running[0].updated > _SILENCE:
                _LOG.error("job %s hangs; its worker is ended", running[0].id)
                process.send_signal(signal.SIGABRT)

    def _bury(self, code: int) -> None:
        """Let the jobs of an ended worker wait again, unless the one it was at ends every worker."""
        running = self._store.running()
        _LOG.warning("the worker ended with code %d, %d jobs running; another starts", code, len(running))
        if running:
            job, most = running[0], _KILLED_OFTEN if code == _KILLED else _CRASHED_OFTEN
            if job.attempts + 1 >= most or code == _OUT_OF_TIME:
                self._store.finish(job.id, "failed", {}, _reason(code))
        self._store.requeue(running[0].id if running else None)


def _reason(code: int) -> str:
    if code == _OUT_OF_TIME:
        return "This took far longer than such footage does; the file may be damaged, so convert it to MP4 first."
    return "The files ended the decoder again and again; they may be damaged, so convert them to MP4 and WAV first."
