"""Quotas of clients and of the disk, and uploads in use or sent again."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")

from lipsmith.serve import housekeeping
from lipsmith.serve.problems import Problem
from lipsmith.serve.service import Service
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import DUB, PROBE, Job, Store, Upload
from lipsmith.serve.supervisor import Supervisor
from lipsmith.serve.uploads import _store, delete_upload, get_upload


@pytest.fixture
def service(settings: Settings) -> Service:
    store = Store(settings.database)
    return Service(settings, store, Supervisor(settings, store))


def test_uploads_in_progress_count(service: Service) -> None:
    service.settings = replace(service.settings, uploads_per_client=5)
    for name in ("first", "second"):
        service.store.add(Upload(id=name, owner="a", bytes=1, sha256=name))
    for _ in range(3):
        service.begin_upload("a", 1)
    with pytest.raises(Problem, match="too many uploads"):
        service.begin_upload("a", 1)
    service.end_upload("a")
    service.begin_upload("a", 1)
    for _ in range(4):
        service.begin_upload("b", 1)
    with pytest.raises(Problem, match="at once"):
        service.begin_upload("b", 1)


def test_uploads_that_only_announce_bytes_do_not_fill_the_disk(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = service.settings.spare_disk + 2500
    monkeypatch.setattr("lipsmith.serve.service.shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    for name in "abc":
        service.begin_upload(name, 2000)
    with pytest.raises(Problem, match="nearly full"):
        service.begin_upload("d", 3000)


def test_the_queue_has_a_length_for_all_clients(service: Service) -> None:
    service.settings = replace(service.settings, jobs=2)
    for owner in "ab":
        service.submit(Job(owner=owner, kind="dub", video="film", priority=DUB))
    with pytest.raises(Problem, match="queue is full"):
        service.submit(Job(owner="c", kind="dub", video="film", priority=DUB))
    service.store.claim()
    with pytest.raises(Problem, match="queue is full"):
        service.submit(Job(owner="c", kind="dub", video="film", priority=DUB))


def test_jobs_do_not_fill_the_disk(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may request faces of any part of a film; the thumbnails of each are kept for a day."""
    free = service.settings.spare_disk - 1
    monkeypatch.setattr("lipsmith.serve.service.shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(Problem, match="nearly full"):
        service.submit_analysis("faces", Upload(id="film", owner="me", bytes=1, sha256="f"), {"start": 1.0})


def test_an_upload_in_live_use_is_neither_deleted_nor_expired(service: Service) -> None:
    settings, store = service.settings, service.store
    upload = store.add(Upload(id="film", owner="me", bytes=1, sha256="f", used=0.0))
    clip = settings.clips("f") / "largest"
    for folder in (clip, settings.clips("other") / "largest"):
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))
    with service.live_use(upload):
        service.refresh(upload)
        housekeeping.expire(settings, store, time.time())
        assert (store.ids()[0], list((settings.data / "clips").glob("*/*"))) == ({"film"}, [clip])
        with pytest.raises(Problem, match="live session") as raised:
            delete_upload("film", service, "me")
        assert raised.value.status_code == 409
    delete_upload("film", service, "me")
    assert store.ids()[0] == set()


def test_the_last_live_session_of_a_film_removes_partial_clips(service: Service) -> None:
    first, second = (Upload(id=name, owner=name, bytes=1, sha256="f") for name in ("first", "second"))
    partial = service.settings.clips("f") / ".lipsmith-abc"
    partial.mkdir(parents=True)
    with service.live_use(first):
        with service.live_use(second):
            pass
        assert partial.exists()
    assert not partial.exists()


def test_a_failure_is_forgotten_only_once_it_is_tried_again(service: Service) -> None:
    service.settings, store = replace(service.settings, jobs_per_client=1), service.store
    upload = store.add(Upload(id="film", owner="me", bytes=1, sha256="f"))
    service.settings.upload("film").touch()
    store.add(Job(owner="me", kind="probe", video="film", priority=PROBE, state="failed", created=0.0))
    busy = store.add(Job(owner="me", kind="dub", video="film", priority=DUB))
    with pytest.raises(Problem, match="too many active jobs"):
        _store(service, upload, Path("part"))
    assert get_upload("film", service, "me").state == "failed"
    store.cancel(busy.id)
    _store(service, upload, Path("part"))
    assert get_upload("film", service, "me").state == "waiting"
    assert store.counts_by_state() == {("probe", "queued"): 1, ("dub", "cancelled"): 1}


def test_a_failure_is_forgotten_after_the_clock_was_set_back(service: Service) -> None:
    upload = service.store.add(Upload(id="film", owner="me", bytes=1, sha256="f"))
    service.settings.upload("film").touch()
    tomorrow = time.time() + 86_400
    for kind in ("probe", "faces"):
        service.store.add(Job(owner="me", kind=kind, video="film", priority=0, state="failed", created=tomorrow))
    _store(service, upload, Path("part"))
    assert get_upload("film", service, "me").state == "waiting"
    assert service.store.counts_by_state() == {("probe", "queued"): 1}


def test_an_upload_that_the_system_keeps_while_it_is_read_is_in_use(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **options: object) -> None:
        raise PermissionError  # as on Windows

    service.store.add(Upload(id="one", owner="a", bytes=1, sha256="one"))
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(Problem, match="uses this upload"):
        delete_upload("one", service, "a")
    assert service.store.holds("one")
