"""Restarts the worker when it exits, and retries or fails the job that was running."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from lipsmith.errors import counted
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Job, Store

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

_HANG_TIMEOUT: Final = 900.0
"""Seconds without a progress report after which a job counts as hung."""
_POLL_INTERVAL: Final = 5.0
_SHORT_RUN: Final = 5.0
_MAX_PAUSE: Final = 10.0
# Windows lacks both signals; exit codes never match there.
_SIGKILL: Final = -getattr(signal, "SIGKILL", 9)
_SIGXCPU: Final = -getattr(signal, "SIGXCPU", 24)
DATABASE_FAILED: Final = 75
"""Exit code of a worker whose database failed; its jobs are not to blame."""
_MAX_KILLS: Final = 20
_MAX_CRASHES: Final = 2


class Supervisor:
    """Runs one worker process and restarts it when it exits."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._process: Process | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.changed = asyncio.Event()
        """Set when a job changes, then replaced by a new event: get it before reading the job, then wait for it."""
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the worker, or None."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def notify(self) -> None:
        """Wake the worker and everyone who waits for `changed`. Thread-safe."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake_worker)
            self._loop.call_soon_threadsafe(self._publish_change)

    async def run(self) -> None:
        """Run workers until canceled; a job that is running then restarts with the next server."""
        self._loop = asyncio.get_running_loop()
        await _insist(self._store.requeue)
        pause = 0.1
        try:
            while True:
                started = time.monotonic()
                try:
                    self._process = await self._start()
                except OSError:
                    _LOG.exception("the worker did not start; trying again in %g s", _MAX_PAUSE)
                    await asyncio.sleep(_MAX_PAUSE)
                    continue
                reading = asyncio.create_task(self._read_output(self._process))
                await self._watch(self._process)
                reading.cancel()
                running = await _insist(self._store.running)  # once: a repetition would blame the next one
                await _insist(self._handle_exit, self._process.returncode or 0, running)
                self._publish_change()
                self.restarts += 1
                pause = min(_MAX_PAUSE, 2 * pause) if time.monotonic() - started < _SHORT_RUN else 0.1
                await asyncio.sleep(pause)
        finally:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    def _wake_worker(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError, RuntimeError):
                self._process.stdin.write(b"\n")

    def _publish_change(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def _read_output(self, process: Process) -> None:
        assert process.stdout is not None
        while await process.stdout.read(4096):
            self._publish_change()

    async def _start(self) -> Process:
        command = (sys.executable, "-m", "lipsmith.serve.worker", json.dumps(self._settings.for_process()))
        return await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=self._settings.environment(), start_new_session=True
        )

    async def _watch(self, process: Process) -> None:
        """Return when the process has exited; abort it if its job hangs.

        The times of reports are compared only with each other: the clock may be set, and a laptop may sleep.
        """
        seen, since = None, 0.0
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _POLL_INTERVAL)
                return
            running = await _insist(self._store.running)
            reported = [(job.id, job.updated) for job in running[:1]]
            if reported != seen:
                seen, since = reported, time.monotonic()
            elif running and time.monotonic() - since > _HANG_TIMEOUT:
                _LOG.error("job %s hangs; aborting its worker", running[0].id)
                if sys.platform == "win32":
                    process.kill()
                else:
                    process.send_signal(signal.SIGABRT)

    def _handle_exit(self, code: int, running: Sequence[Job]) -> None:
        """Queue the `running` jobs of an exited worker again; fail the current one if it crashed too many workers."""
        _LOG.warning("the worker exited with code %d, %s running; restarting it", code, counted(len(running), "job"))
        suspect = running[0] if running and code != DATABASE_FAILED else None
        if suspect is not None:
            limit = _MAX_KILLS if code == _SIGKILL else _MAX_CRASHES
            if suspect.attempts + 1 >= limit or code == _SIGXCPU:
                self._store.finish(suspect.id, "failed", {}, _reason(code))
        self._store.requeue(suspect.id if suspect else None)


async def _insist(function: Callable[..., T], *arguments: object) -> T:
    """The result of `function` of the store; repeats it while the database fails, as on a full disk."""
    while True:
        try:
            return await asyncio.to_thread(function, *arguments)
        except SQLAlchemyError:
            _LOG.exception("the database failed; trying again in %g s", _MAX_PAUSE)
            await asyncio.sleep(_MAX_PAUSE)


def _reason(code: int) -> str:
    if code == _SIGXCPU:
        return "This took far longer than usual for its length; the file may be damaged, so convert it to MP4 first."
    return "The decoder crashed repeatedly; the files may be damaged, so convert them to MP4 and WAV first."
