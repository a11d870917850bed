"""The supervisor and the worker go on after passing failures."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")

from sqlalchemy.exc import OperationalError

from lipsmith.serve import supervisor
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import DUB, FACES, PREVIEW, PROBE, Job, Store
from lipsmith.serve.work import Tasks
from lipsmith.serve.worker import Worker, _Reporter


def test_a_database_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def requeue(number: int) -> str:
        calls.append(number)
        if len(calls) < 3:
            raise OperationalError("UPDATE job", {}, OSError("the disk is full"))
        return "queued"

    monkeypatch.setattr(supervisor, "_MAX_PAUSE", 0.0)
    assert asyncio.run(supervisor._insist(requeue, 7)) == "queued"
    assert calls == [7, 7, 7]
    assert "the disk is full" in caplog.text


def test_a_database_that_fails_does_not_fail_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> bool:
        raise OperationalError("UPDATE job", {}, OSError("database is locked"))

    settings = Settings(data=tmp_path)
    store = Store(settings.database)
    store.add(Job(id="dub", owner="me", kind="dub", video="film", priority=DUB, attempts=1))
    tasks = SimpleNamespace(run=lambda job, reporter: reporter.stage("dubbing"))
    monkeypatch.setattr(Store, "report", fail)
    with pytest.raises(OperationalError):
        Worker(store, cast("Tasks", tasks), settings).run_next_job()
    supervisor.Supervisor(settings, store)._handle_exit(supervisor.DATABASE_FAILED, store.running())
    (job,) = store.dubs("me", 1)
    assert (job.state, job.attempts) == ("queued", 1)
    store.claim()
    supervisor.Supervisor(settings, store)._handle_exit(1, store.running())
    (job,) = store.dubs("me", 1)
    assert (job.state, job.attempts) == ("failed", 2)


@pytest.mark.parametrize("timeout", [0.2, 900.0])
def test_a_job_hangs_if_it_reports_nothing_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout: float
) -> None:
    """The job reported an hour ago by the clock, as after the sleep of a laptop."""
    aborted = asyncio.Event()
    process = SimpleNamespace(wait=aborted.wait, send_signal=lambda _: aborted.set())
    store = Store(Settings(data=tmp_path).database)
    store.add(Job(owner="me", kind="dub", video="film", priority=DUB, state="running", updated=time.time() - 3600))
    monkeypatch.setattr(supervisor, "_POLL_INTERVAL", 0.01)
    monkeypatch.setattr(supervisor, "_HANG_TIMEOUT", timeout)
    watching = supervisor.Supervisor(Settings(data=tmp_path), store)._watch(cast("Process", process))

    async def watch() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(watching, 60.0 if timeout < 1 else 1.0)

    asyncio.run(watch())
    assert aborted.is_set() == (timeout < 1)


class _Recorder:
    """Stands for the store and for the worker: notes reports, and runs a short job in each pause."""

    def __init__(self) -> None:
        self.reports: list[float] = []

    def report(self, name: str, stage: str, progress: float, eta: float | None) -> bool:
        self.reports.append(progress)
        return True

    def run_short_job(self, last: int) -> bool:
        return True


def test_a_job_reports_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause may be longer than the time after which a silent job counts as hung."""
    monkeypatch.setattr("lipsmith.serve.worker._notify_server", lambda: None)
    recorder, job = _Recorder(), Job(owner="me", kind="dub", video="film", priority=DUB)
    reporter = _Reporter(cast("Worker", recorder), cast("Store", recorder), job, {"dubbing": 15.0}, PREVIEW)
    reporter.stage("dubbing")(4, 4)
    assert recorder.reports == [0.0, 1.0, 1.0]


def test_a_probe_does_not_wait_for_the_faces_of_a_long_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipsmith.serve.worker._notify_server", lambda: None)
    settings, order = Settings(data=tmp_path), list[str]()
    store = Store(settings.database)

    def run(job: Job, reporter: _Reporter) -> dict[str, object]:
        if job.kind == "faces":
            progress = reporter.stage("faces")
            for kind, priority in (("dub", PREVIEW), ("faces", FACES), ("probe", PROBE)):
                store.add(Job(id=kind, owner="me", kind=kind, video="film", priority=priority))
            progress(4, 4)
        order.append(job.kind)
        return {}

    store.add(Job(owner="me", kind="faces", video="film", priority=FACES))
    assert Worker(store, cast("Tasks", SimpleNamespace(run=run)), settings).run_next_job()
    assert order == ["probe", "faces"]
    assert store.count_active() == 2


def test_the_worker_writes_to_the_data_folder_and_does_not_know_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[tuple[str, ...], dict[str, str]]] = []

    async def start(*command: str, env: dict[str, str], **_: object) -> None:
        started.append((command, env))

    monkeypatch.setenv("LIPSMITH_TOKEN", "secret of the server")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    settings = Settings(data=tmp_path, token="secret of the server")
    asyncio.run(supervisor.Supervisor(settings, Store(settings.database))._start())
    ((command, environment),) = started
    assert environment["TMPDIR"] == str(tmp_path / "tmp")
    assert "PATH" in environment
    assert not any("secret of the server" in text for text in (*command, *environment.values()))


def test_an_interrupt_does_not_end_the_worker(tmp_path: Path) -> None:
    """Windows sends Ctrl-C to the worker too, which the server would count as a crash of the running job."""
    command = [sys.executable, "-m", "lipsmith.serve.worker", json.dumps(Settings(data=tmp_path).for_process())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        assert worker.stderr is not None
        while b"is loaded" not in (line := worker.stderr.readline()):
            assert line, "the worker did not start"
        worker.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(1)
        worker.communicate()
    assert worker.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("code", "attempts", "problem"),
    [
        (-signal.SIGSEGV, 0, None),
        (-signal.SIGSEGV, 1, "The decoder crashed repeatedly"),
        (-signal.SIGKILL, 1, None),  # the system may have had no memory left for anyone
        (-signal.SIGKILL, 19, "The decoder crashed repeatedly"),
        (-signal.SIGXCPU, 0, "This took far longer than usual for its length"),
    ],
)
def test_a_job_that_ends_its_worker_fails_in_time(
    tmp_path: Path, code: int, attempts: int, problem: str | None
) -> None:
    settings = Settings(data=tmp_path)
    store = Store(settings.database)
    store.add(Job(owner="me", kind="dub", video="film", priority=DUB, attempts=attempts))
    store.claim()
    supervisor.Supervisor(settings, store)._handle_exit(code, store.running())
    (job,) = store.dubs("me", 1)
    assert job.state == ("failed" if problem else "queued")
    assert (job.problem and job.problem.partition(";")[0]) == problem
