"""Workers on the machines of a Ray cluster; the only module that knows Ray.

Plain actors, not Ray Data: its checkpoints know rows by their name alone, not by inputs, options and the state of the
result as the journal does, and how many tasks a film makes is known only after its scan.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

# Before Ray is imported: it asks nobody about this command.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import ray._private.worker
from ray.exceptions import RayError, RayTaskError

from lipsmith.cluster.tasks import Ready, RemoteWorker, Report, Task
from lipsmith.cluster.worker import Worker
from lipsmith.errors import LipsmithError, UsageError
from lipsmith.inference.backend import Precision
from lipsmith.inference.model_folder import usable_cores

_LOG = logging.getLogger(__name__)

_RAY: Final[Any] = ray  # parts of it have no types
_STORE: Final = 100 << 20
"""Bytes of Ray's object store on a machine; no pictures go through it."""
_CONNECT_TIMEOUT: Final = 10.0
"""Seconds that a cluster has to answer."""
_REMARK_AFTER: Final = 60.0
"""Seconds without any worker after which a line says so."""
_MAX_FAILED_STARTS: Final = 3
"""Workers that may fail to start, one after the other."""


class _Actor:
    def __init__(self, make: Callable[[], Worker]) -> None:
        self._worker = make()

    def load(self) -> Ready:
        return self._worker.load()

    def work(self, task: Task) -> Report:
        return self._worker.work(task)


class Pool:
    """Workers made by `make`, each with `threads` cores, or `gpus`; a context manager that connects and disconnects.

    Connects to the cluster in RAY_ADDRESS, or one that runs on this machine, or starts one here.
    """

    def __init__(self, make: Callable[[], Worker], threads: int, gpus: int = 0) -> None:
        self._make, self._threads, self._gpus = make, threads, gpus
        self._workers: list[RemoteWorker] = []
        self._precision: Precision | None = None
        self._failed = 0
        self._why = ""
        """Why the last of them did not start."""

    def __enter__(self) -> Self:
        with _signals_kept():
            _connect()
        if not self._places():
            ray.shutdown()
            needed = f"{self._gpus} GPU" if self._gpus else f"{self._threads} cores"
            raise UsageError(f"No machine of the Ray cluster has {needed}; choose fewer threads or another device.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            _kill(worker)
        with _signals_kept():
            ray.shutdown()

    def grow(self, waiting: int) -> None:
        """Start workers for so many tasks, if there is room for them."""
        free = sum(worker.task is None for worker in self._workers)
        actor = ray.remote(_Actor).options(
            num_cpus=self._threads, num_gpus=self._gpus, max_restarts=0, scheduling_strategy="SPREAD"
        )
        for _ in range(min(waiting - free, self._room() - len(self._workers))):
            started: Any = actor.remote(self._make)
            self._workers.append(RemoteWorker(started, started.load.remote()))

    @property
    def idle(self) -> list[RemoteWorker]:
        """Workers that have nothing to do."""
        return [worker for worker in self._workers if worker.pending is None]

    def start(self, worker: RemoteWorker, task: Task) -> None:
        """Give a task to an idle worker."""
        if task.share is None and self._precision is not None:
            task = replace(task, precision=self._precision)
        worker.pending, worker.task, worker.video = worker.actor.work.remote(task), task, task.job.video

    def wait(self) -> tuple[Task, Report | None] | None:
        """Wait until something happens. If a task ended: that task, and its report, or None if its worker was lost.

        Raises what keeps workers from starting, if none has started, or if none is left and too many failed to start.
        """
        busy = {worker.pending: worker for worker in self._workers if worker.pending is not None}
        if not busy:
            self._wait_for_machines()
            return None
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=_REMARK_AFTER)
        if ready:
            return self._ended(busy[ready[0]])
        if not any(worker.machine for worker in self._workers):
            _LOG.warning("The Ray cluster has started no worker yet; it may have no free cores.")
        return None

    def _wait_for_machines(self) -> None:
        """Wait a moment, because all machines may be lost and others may come; raise if no worker may start."""
        if not self._workers and self._places() and not self._room():
            raise LipsmithError(
                f"No worker of the Ray cluster is left, and no other starts ({self._why}); mend its machines and "
                "run the same command again."
            )
        time.sleep(1.0)

    def _ended(self, worker: RemoteWorker) -> tuple[Task, Report | None] | None:
        """The task that a worker has ended, as `wait` returns it; None if it was loading the model."""
        pending, task = worker.pending, worker.task
        worker.pending = worker.task = None
        try:
            report: Report | Ready = ray.get(pending)
        except RayError as error:
            self._lose(worker, error)
            return (task, None) if task else None
        if isinstance(report, Ready):
            self._welcome(worker, report)
            return None
        assert task is not None
        return task, report

    def _welcome(self, worker: RemoteWorker, ready: Ready) -> None:
        for level, line in ready.lines:
            _LOG.log(level, "%s: %s", ready.machine, line)
        if ready.error is None:
            worker.machine, self._failed = ready.machine, 0
            self._precision = self._precision or ready.precision
        elif self._precision is None:
            raise ready.error
        else:
            _LOG.warning("A worker is left out: %s", ready.error)
            self._failed, self._why = self._failed + 1, str(ready.error).rstrip(".")
            self._remove(worker)

    def _lose(self, worker: RemoteWorker, error: RayError) -> None:
        _LOG.debug("%s", error)
        why = str(error).strip().splitlines()[-1]
        if isinstance(error, RayTaskError) and worker.machine:
            raise LipsmithError(f"The Ray cluster failed: {why}.") from error
        self._remove(worker)
        if worker.machine:
            _LOG.warning("A worker on %s was lost; others do its work.", worker.machine)
            return
        self._failed, self._why = self._failed + 1, why.rstrip(".")
        if self._precision is None and self._failed > _MAX_FAILED_STARTS:
            raise LipsmithError(
                f"No worker starts in the Ray cluster ({why}); install lipsmith on its machines."
            ) from error

    def _remove(self, worker: RemoteWorker) -> None:
        self._workers.remove(worker)
        _kill(worker)

    def _room(self) -> int:
        """Most workers at a time: of the places, one is given up for each failed start above the first few."""
        return max(0, self._places() - max(0, self._failed - _MAX_FAILED_STARTS))

    def _places(self) -> int:
        """Workers for which the machines have cores and GPUs."""
        places = 0
        nodes: list[dict[str, Any]] = _RAY.nodes()
        for node in nodes:
            has = node["Resources"]
            if node["Alive"]:
                cores = int(has.get("CPU", 0) // self._threads)
                places += min(cores, int(has.get("GPU", 0) // self._gpus)) if self._gpus else cores
        return places


def _kill(worker: RemoteWorker) -> None:
    with suppress(RayError, ValueError):
        ray.kill(worker.actor)


def _connect() -> None:
    # Ray prints what happens to machines on stdout, where the results go.
    ray._private.worker._worker_logs_enabled = False
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    address = os.environ.get("RAY_ADDRESS", "")
    if ":" in address:
        _check(address)
    try:
        ray.init(address="auto", **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address:
            raise LipsmithError(f"The Ray cluster at RAY_ADDRESS {address} refuses: {error}") from error
        here: dict[str, Any] = {"num_cpus": usable_cores(), "object_store_memory": _STORE, "include_dashboard": False}
        ray.init(address="local", **here, **quiet)


def _check(address: str) -> None:
    """Raise at once where Ray would try for two minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT).close()
    except (OSError, ValueError, OverflowError) as error:
        raise LipsmithError(
            f"No Ray cluster answers at RAY_ADDRESS {address} ({error}); give its host:port."
        ) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray handles SIGTERM in its own way; lipsmith unwinds."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        with suppress(ValueError):  # only the main thread can set signal handlers
            for number, handler in before.items():
                signal.signal(number, handler)
