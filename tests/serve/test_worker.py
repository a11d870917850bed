"""The worker: what it tells the client and the server, how long a job will take, and which jobs wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("fastapi", reason="the worker needs the serve extra")

from sqlalchemy.exc import OperationalError

from lipsmith import Dubber
from lipsmith.errors import InputError
from lipsmith.serve import worker as worker_module
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import DUB, PREVIEW, PROBE, Job, Store
from lipsmith.serve.supervisor import DATABASE_FAILED
from lipsmith.serve.work import Reporter, Tasks
from lipsmith.serve.worker import CancelledError, Worker

Run = Callable[[Job, Reporter], dict[str, Any]]


@dataclass
class Told:
    """The process of a worker: its clock, and what it writes to the server."""

    now: float = 100.0
    lines: list[bytes] = field(default_factory=list)
    server_is_gone: bool = False

    def write(self, number: int, content: bytes) -> None:
        if self.server_is_gone:
            raise BrokenPipeError
        assert number == 1
        self.lines.append(content)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(worker_module, "time", SimpleNamespace(monotonic=lambda: told.now))
    monkeypatch.setattr(worker_module, "os", SimpleNamespace(write=told.write))
    return told


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.database)


def worker_of(store: Store, settings: Settings, run: Run) -> Worker:
    return Worker(store, cast("Tasks", SimpleNamespace(run=run)), settings)


def queued(store: Store, name: str = "dub", priority: int = DUB) -> None:
    store.add(Job(id=name, owner="me", kind="dub", video="film", speech="words", priority=priority))


def found(store: Store, name: str = "dub") -> Job:
    job = store.job(name, "me")
    assert job is not None
    return job


@pytest.mark.parametrize(
    ("error", "state", "problem"),
    [
        (CancelledError(), "cancelled", None),
        (InputError("{film} shows no face; add --face all."), "failed", "The film shows no face; add face all."),
        (InputError("{words} is empty."), "failed", "The speech is empty."),
        (MemoryError(), "failed", "The job needs too much memory; use smaller footage."),
        (RuntimeError("{film} of /home/me"), "failed", "Internal error; see the log of the service."),
    ],
)
def test_a_job_that_fails_says_why_without_paths_and_the_next_one_runs(
    told: Told, store: Store, settings: Settings, error: Exception, state: str, problem: str | None
) -> None:
    def run(job: Job, reporter: Reporter) -> dict[str, Any]:
        if job.id == "next":
            return {"frames": 3}
        names = {name: settings.upload(name) for name in ("film", "words")}
        raise type(error)(*(text.format(**names) for text in error.args))

    queued(store)
    worker = worker_of(store, settings, run)
    assert worker.run_next_job()
    assert (found(store).state, found(store).problem) == (state, problem)
    queued(store, "next")
    assert worker.run_next_job()
    assert (found(store, "next").state, found(store, "next").figures) == ("done", {"frames": 3})
    assert not worker.run_next_job()


@pytest.mark.parametrize("gone", [False, True])
def test_the_server_is_told_of_each_change(told: Told, store: Store, settings: Settings, gone: bool) -> None:
    """Without one the worker ends its job, and then itself."""

    def run(job: Job, reporter: Reporter) -> dict[str, Any]:
        progress = reporter.stage("dubbing")
        for done in (1, 2, 3, 4):
            told.now += 0.3
            progress(done, 4)
        return {}

    told.server_is_gone = gone
    queued(store)
    worker_of(store, settings, run).run_next_job()
    assert found(store).state == "done"
    assert told.lines == ([] if gone else [b"\n"] * 4)  # begin, after 0.6 s, all frames, end


def test_a_canceled_job_stops_at_its_next_report(told: Told, store: Store, settings: Settings) -> None:
    def run(job: Job, reporter: Reporter) -> dict[str, Any]:
        progress = reporter.stage("dubbing")
        store.cancel(job.id)
        told.now += 0.1
        progress(1, 4)  # too early for a report
        told.now += 0.5
        with pytest.raises(CancelledError):
            progress(2, 4)
        raise CancelledError

    queued(store)
    worker_of(store, settings, run).run_next_job()
    assert found(store).state == "cancelled"


def test_the_time_left_is_that_of_all_stages(told: Told, store: Store, settings: Settings) -> None:
    """From the usual speed of 60 frames a second, which counts for 2 s, and that of this job; then 150 to dub at 15."""

    def run(job: Job, reporter: Reporter) -> dict[str, Any]:
        def after(seconds: float, done: int, total: int) -> tuple[float, float | None]:
            told.now += seconds
            progress(done, total)
            return found(store).progress, found(store).eta

        progress = reporter.stage("faces", later=150.0)
        seen.append(after(1.0, 80, 480))  # (80 + 120) frames in 3 s
        seen.append(after(0.4, 200, 480))  # too early for a report
        seen.append(after(0.1, 330, 480))  # (330 + 120) frames in 3.5 s
        seen.append(after(0.1, 480, 480))
        seen.append(after(1.0, 500, 480))  # there are more frames than the header declares
        seen.append(after(1.0, 510, 0))  # it is unknown how many
        return {}

    seen: list[tuple[float, float | None]] = []
    queued(store)
    worker_of(store, settings, run).run_next_job()
    assert seen == [(0.1667, 16.0), (0.1667, 16.0), (0.6875, 11.2), (1.0, 10.0), (1.0, 10.0), (0.0, None)]


def test_a_worker_learns_its_speed_from_earlier_jobs(told: Told, store: Store, settings: Settings) -> None:
    def run(job: Job, reporter: Reporter) -> dict[str, Any]:
        progress = reporter.stage("dubbing")
        told.now += 1.0
        progress(60, 300)
        etas.append(found(store, job.id).eta)
        return {}

    etas: list[float | None] = []
    worker = worker_of(store, settings, run)
    for name in ("first", "second"):
        queued(store, name)
        worker.run_next_job()
    assert etas == [8.0, 6.0]  # 240 frames at (60 + 2 * 15) / 3, then at (60 + 2 * 30) / 3


def test_a_pause_does_not_count_as_work(told: Told, store: Store, settings: Settings) -> None:
    """A preview of 100 s interrupts a dub of 20 frames a second."""

    def run(job: Job, reporter: Reporter) -> dict[str, Any]:
        if job.id == "preview":
            told.now += 100.0
            return {}
        progress = reporter.stage("dubbing")
        told.now += 1.0
        queued(store, "preview", PREVIEW)
        progress(20, 300)
        told.now += 1.0
        progress(40, 300)
        etas.append(found(store).eta)
        return {}

    etas: list[float | None] = []
    queued(store)
    worker_of(store, settings, run).run_next_job()
    assert found(store, "preview").state == "done"
    assert etas == [14.9]  # 260 frames at (40 + 2 * 15) / 4


def test_short_jobs_take_half_of_the_time_at_most(told: Told, store: Store, settings: Settings) -> None:
    def run(job: Job, reporter: Reporter) -> dict[str, Any]:
        told.now += 10.0
        return {}

    worker = worker_of(store, settings, run)
    for name in "ab":
        queued(store, name, PREVIEW)
    assert worker.run_short_job(PREVIEW)
    assert not worker.run_short_job(PREVIEW)
    told.now += 9.9
    assert not worker.run_short_job(PREVIEW)
    told.now += 0.2
    assert worker.run_short_job(PREVIEW)


@pytest.mark.parametrize("begun", ["by itself", "in a pause of a dub"])
def test_only_a_probe_interrupts_a_preview(told: Told, store: Store, settings: Settings, begun: str) -> None:
    def run(job: Job, reporter: Reporter) -> dict[str, Any]:
        progress = reporter.stage("dubbing")
        if job.id == "dub":
            queued(store, "preview", PREVIEW)
        if job.id == "preview":
            queued(store, "other preview", PREVIEW)
            progress(4, 4)
            assert order == []
            queued(store, "probe", PROBE)
        progress(4, 4)
        order.append(job.id)
        return {}

    order: list[str] = []
    if begun == "by itself":
        queued(store, "preview", PREVIEW)
    else:
        queued(store, "dub", DUB)
    assert worker_of(store, settings, run).run_next_job()
    assert order[:2] == ["probe", "preview"]


def test_a_worker_runs_all_jobs_before_it_waits_and_says_if_the_database_fails(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server then blames no job."""

    def run_next_job(worker: Worker) -> bool:
        done.append("job")
        if len(done) >= 5:
            raise OperationalError("UPDATE job", {}, OSError("the disk is full"))
        return len(done) < 3

    def end(code: int) -> None:
        raise SystemExit(code)

    done: list[object] = []
    waiting = SimpleNamespace(clear=lambda: None, wait=lambda seconds: done.append("wait"))
    monkeypatch.setattr(worker_module, "Event", lambda: waiting)
    monkeypatch.setattr(worker_module, "_read_stdin", lambda wake: None)
    monkeypatch.setattr(worker_module, "limit_memory", done.append)
    monkeypatch.setattr(Dubber, "from_pretrained", lambda *given: None)
    monkeypatch.setattr(Worker, "run_next_job", run_next_job)
    monkeypatch.setattr("os._exit", end)
    with pytest.raises(SystemExit) as ended:
        worker_module.main(settings)
    assert done == [settings.memory, "job", "job", "wait", "job"]
    assert ended.value.code == DATABASE_FAILED
