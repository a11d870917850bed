"""State transitions, priorities and owners of jobs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from sqlalchemy import Update, event

from lipsmith import DubOptions
from lipsmith.dubbing.options import LEAST_GAIN, MOST_GAIN, STRONGEST
from lipsmith.serve.store import DUB, FACES, PREVIEW, PROBE, SIDE, Job, Store, Upload
from lipsmith.serve.views import DubRequest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "jobs.sqlite")


def job(store: Store, priority: int = DUB, owner: str = "me", created: float = 0.0, **options: str | None) -> Job:
    row = Job(owner=owner, kind="dub", video="film", speech="words", priority=priority, created=created)
    row.options = options
    return store.add(row)


def test_jobs_run_by_priority_then_age(store: Store) -> None:
    late, early = job(store, created=2.0), job(store, created=1.0)
    preview, probe = job(store, PREVIEW, created=3.0), job(store, PROBE, created=4.0)
    assert store.count_ahead(late) == 3
    claimed = [store.claim() for _ in range(4)]
    assert [found.id for found in claimed if found] == [probe.id, preview.id, early.id, late.id]
    assert store.claim() is None


def test_owners_take_turns(store: Store) -> None:
    for created in (1.0, 2.0, 3.0, 5.0):
        job(store, created=created)
    for created, owner in ((4.0, "you"), (7.0, "you"), (6.0, "they")):
        job(store, owner=owner, created=created)
    queued = [found for owner in ("me", "you", "they") for found in store.dubs(owner, 9)]
    expected = [found.created for found in sorted(queued, key=store.count_ahead)]
    claimed = []
    while (found := store.claim()) is not None:
        claimed.append(found.created)
        store.finish(found.id, "done", {})
    assert claimed == expected == [1.0, 4.0, 6.0, 2.0, 7.0, 3.0, 5.0]


def test_a_restarted_job_keeps_its_turn(store: Store) -> None:
    first, _ = job(store, created=1.0), job(store, owner="you", created=2.0)
    store.claim()
    store.requeue()
    again = store.claim()
    assert again is not None
    assert again.id == first.id


def test_only_short_jobs_interrupt(store: Store) -> None:
    job(store)
    assert store.claim(PREVIEW) is None
    assert store.claim() is not None


def test_queued_jobs_are_canceled_and_running_ones_asked_to_stop(store: Store) -> None:
    queued, running = job(store, created=2.0), job(store, created=1.0)
    assert store.claim() is not None
    assert store.report(running.id, "dubbing", 0.5, 3.0)
    assert store.cancel(queued.id)
    assert store.cancel(running.id)
    assert not store.report(running.id, "dubbing", 0.6, 2.0)
    store.finish(running.id, "cancelled", {})
    assert not store.cancel(running.id)
    assert {found.state for found in store.dubs("me", 10)} == {"cancelled"}


def test_a_final_state_never_changes(store: Store) -> None:
    ended = job(store)
    store.claim()
    store.finish(ended.id, "done", {"frames": 3})
    store.finish(ended.id, "failed", {}, "too late")
    store.requeue()
    found = store.job(ended.id, "me")
    assert found is not None
    assert (found.state, found.figures, found.problem, found.progress) == ("done", {"frames": 3}, None, 1.0)


def test_a_job_that_is_canceled_while_it_is_claimed_does_not_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    row, execute = job(store), store._execute

    def meanwhile(statement: Update) -> int:
        monkeypatch.undo()
        assert store.cancel(row.id)
        return execute(statement)

    monkeypatch.setattr(store, "_execute", meanwhile)
    assert store.claim() is None
    assert [found.state for found in store.dubs("me", 9)] == ["cancelled"]


def test_a_job_that_is_canceled_as_its_worker_exits_does_not_run_again(store: Store, tmp_path: Path) -> None:
    row = job(store)
    store.claim()
    restart, statements = Thread(target=Store(tmp_path / "jobs.sqlite").requeue), list[object]()

    def restart_between(*arguments: object) -> None:
        statements.append(arguments)
        if len(statements) == 2:
            restart.start()
            restart.join(0.5)  # unless it has to wait for the cancellation

    event.listen(store._engine, "before_cursor_execute", restart_between)
    assert store.cancel(row.id)
    restart.join()
    assert [found.state for found in store.dubs("me", 9)] == ["cancelled"]


def test_the_current_job_is_known_though_the_clock_was_set_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = job(store)
    store.claim()
    inner = job(store, PREVIEW)
    monkeypatch.setattr("lipsmith.serve.store.time", SimpleNamespace(time=lambda: 1.0))
    store.claim()
    assert [found.id for found in store.running()] == [inner.id, outer.id]


def test_a_job_that_was_to_stop_when_its_worker_exited_does_not_run_again(store: Store) -> None:
    row = job(store)
    store.claim()
    assert store.cancel(row.id)
    store.requeue()
    assert [found.state for found in store.dubs("me", 9)] == ["cancelled"]
    assert store.claim() is None


def test_requeue_counts_an_attempt_of_the_suspect_only(store: Store) -> None:
    outer, inner = job(store, created=1.0), job(store, PREVIEW, created=2.0)
    store.report(outer.id, "dubbing", 0.5, None)
    for _ in range(2):
        store.claim()
    store.requeue(inner.id)
    states = {found.id: (found.state, found.attempts) for found in store.dubs("me", 10)}
    assert states == {outer.id: ("queued", 0), inner.id: ("queued", 1)}


def test_uploads_of_active_jobs_do_not_expire(store: Store) -> None:
    for name in ("film", "words", "music", "other"):
        store.add(Upload(id=name, owner="me", bytes=1, sha256=name, used=0.0))
    job(store, background="music")
    job(store, background=None)
    assert store.expired(10.0) == (["other"], [])
    assert [store.is_dubbed(name) for name in ("film", "words", "music", "other")] == [True, True, True, False]
    while (claimed := store.claim()) is not None:
        store.finish(claimed.id, "done", {})
    assert set(store.expired(1e12)[0]) == {"film", "words", "music", "other"}


def test_an_upload_that_is_only_analyzed_is_not_in_use(store: Store) -> None:
    for kind, priority in (("probe", PROBE), ("faces", FACES)):
        store.add(Job(owner="me", kind=kind, video="film", priority=priority))
    assert (store.count_active("me"), store.is_dubbed("film")) == (2, False)
    running = store.claim()
    assert running is not None
    store.delete(uploads=["film"])
    assert not store.report(running.id, "faces", 0.5, None)  # which stops it
    store.finish(running.id, "cancelled", {})
    assert store.count_active() == 0


def test_a_side_by_side_film_needs_its_dub_but_not_the_upload(store: Store) -> None:
    dub = job(store)
    store.add(Upload(id="film", owner="me", bytes=1, sha256="film", used=0.0))
    store.add(Job(owner="me", kind="side", video=dub.id, priority=SIDE))
    store.add(Job(owner="me", kind="probe", video="film", priority=PROBE))
    store.delete(uploads=["film"])
    assert store.latest("side", dub.id, {}) is not None
    assert store.latest("probe", "film", {}) is None
    store.delete(jobs=[dub.id])
    assert store.latest("side", dub.id, {}) is None


def test_jobs_belong_to_their_owner(store: Store) -> None:
    mine = job(store)
    assert store.job(mine.id, "you") is None
    assert store.dubs("you", 10) == []
    assert store.count_active("you") == 0
    assert store.count_active() == 1


def test_requests_have_the_options_of_the_command() -> None:
    known = {field.name for field in fields(DubOptions)} - {"overwrite", "resume"}
    assert known == set(DubRequest.model_fields) - {"video", "speech", "speeches", "preview", "compare"}
    plain = DubRequest(video="0" * 32, speech="0" * 32)
    assert all(getattr(plain, name) == getattr(DubOptions(), name) for name in known)
    strength, gain = (DubRequest.model_json_schema()["properties"][name] for name in ("strength", "gain"))
    assert (strength["maximum"], gain["minimum"], gain["maximum"]) == (STRONGEST, LEAST_GAIN, MOST_GAIN)


def test_of_many_analyses_only_the_one_asked_for_is_read(store: Store) -> None:
    for start in range(9):
        store.add(Job(owner="me", kind="faces", video="film", priority=FACES, options={"start": float(start)}))
    read: list[Job] = []
    event.listen(Job, "load", lambda job, _: read.append(job))
    found = store.latest("faces", "film", {"start": 4.0})
    assert found is not None
    assert found.options == {"start": 4.0}
    assert len(read) == 1


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_what_the_server_stored_survives_a_power_failure(tmp_path: Path, durable: bool, level: int) -> None:
    """SQLite's levels are FULL and NORMAL, with which the last reports of the worker may be lost."""
    with Store(tmp_path / "jobs.sqlite", durable)._session() as session:
        assert session.connection().exec_driver_sql("PRAGMA synchronous").scalar_one() == level
