"""Expired files are removed, whatever else happens in the data folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import OperationalError

from lipsmith.errors import UsageError
from lipsmith.serve import housekeeping
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import DUB, PROBE, Job, Store, Upload
from service import assert_problem, upload_file

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

    from lipsmith.serve.service import Service


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, keep=1.0)


@pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
def test_others_cannot_read_the_cookies_in_the_database_of_a_folder_that_was_there(settings: Settings) -> None:
    settings.data.chmod(0o755)
    settings.database.touch(mode=0o644)
    with housekeeping.data_folder(settings):
        Store(settings.database).add(Upload(owner="me", bytes=1, sha256="f"))
        files = list(settings.data.glob("jobs.sqlite*"))
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_folder_with_files_of_others_is_refused_because_they_would_be_removed(settings: Settings) -> None:
    film = settings.upload("holiday.mp4")
    film.touch()
    with pytest.raises(UsageError, match="uploads holds files"), housekeeping.data_folder(settings):
        housekeeping.remove_leftovers(settings, Store(settings.database))
    assert film.exists()


def test_a_folder_of_other_things_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    for name in ("lost+found", "tmp", ".DS_Store"):  # of the system, or of a start that was killed
        (tmp_path / name).mkdir()
    with housekeeping.data_folder(Settings(data=tmp_path)):
        pass
    home = tmp_path / "home"
    home.mkdir()
    (home / "film.mp4").touch()
    refused = pytest.raises(UsageError, match="home holds files that no service wrote")
    with refused, housekeeping.data_folder(Settings(data=home)):
        pass
    assert [path.name for path in home.iterdir()] == ["film.mp4"]


def test_a_file_as_data_folder_is_called_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    refused = pytest.raises(UsageError, match="data is a file; give a folder to --data")
    with refused, housekeeping.data_folder(Settings(data=tmp_path / "data")):
        pass


def test_a_clip_that_vanishes_does_not_keep_others(settings: Settings) -> None:
    clips = [settings.clips(name) / "largest" for name in "abc"]
    for clip in clips:
        clip.mkdir(parents=True)
        os.utime(clip, (0, 0))
    # Like a temporary folder that was renamed after the listing, a dangling link is listed but has no time.
    (settings.clips("b") / "renamed").symlink_to(settings.data / "missing")
    housekeeping.expire(settings, Store(settings.database), now=10.0)
    assert [path.name for path in (settings.data / "clips").rglob("*")] == ["b", "renamed"]


def test_clips_in_use_and_results_stay(settings: Settings) -> None:
    store = Store(settings.database)
    job = store.add(Job(owner="me", kind="dub", video="film", priority=DUB))
    old, new = (settings.clips("a") / name for name in ("left", "right"))
    for clip, used in ((old, 8.0), (new, 9.5)):
        clip.mkdir(parents=True)
        os.utime(clip, (used, used))
    settings.job(job.id).mkdir()
    for name in ("result.mp4", ".lipsmith-0123456789ab.mp4"):
        (settings.job(job.id) / name).touch()
    housekeeping.expire(settings, store, now=10.0)
    housekeeping.remove_leftovers(settings, store)
    assert [path.name for path in (settings.data / "clips").rglob("*")] == ["a", "right"]
    assert [path.name for path in settings.job(job.id).iterdir()] == ["result.mp4"]


def test_temporary_files_of_a_killed_session_are_removed(settings: Settings) -> None:
    with suppress(KeyboardInterrupt), settings.temporary_folder() as folder:
        (folder / "lipsmith-abc").mkdir()
        (folder / "lipsmith-abc" / "frames.avi").touch()
        raise KeyboardInterrupt
    assert not list((settings.data / "tmp").iterdir())


def test_partial_clips_of_killed_sessions_are_removed_at_the_start(settings: Settings) -> None:
    clips = settings.clips("film")
    for name in (".lipsmith-abc/whole", "largest"):
        (clips / name).mkdir(parents=True)
    housekeeping.remove_leftovers(settings, Store(settings.database))
    assert list(clips.iterdir()) == [clips / "largest"]


def test_uploads_that_were_not_completed_are_removed_at_the_start(settings: Settings) -> None:
    store = Store(settings.database)
    kept = settings.upload(store.add(Upload(owner="me", bytes=1, sha256="f")).id)
    for path in (kept, settings.upload("partial"), settings.data / "tmp" / "frames.avi"):
        path.touch()
    housekeeping.remove_leftovers(settings, store)
    assert list((settings.data / "uploads").iterdir()) == [kept]
    assert not list((settings.data / "tmp").iterdir())


def test_a_file_of_the_system_among_the_jobs_is_removed_at_the_start(settings: Settings) -> None:
    settings.job(".DS_Store").touch()
    housekeeping.remove_leftovers(settings, Store(settings.database))
    assert not list((settings.data / "jobs").iterdir())


def test_films_that_were_open_when_their_job_was_deleted_are_removed_later(settings: Settings) -> None:
    """Windows removes no file that is being sent."""
    store = Store(settings.database)
    store.add(Job(id="kept", owner="me", kind="dub", video="film", priority=DUB))
    for name in ("kept", "deleted"):
        settings.job(name).mkdir()
        settings.film(name, "result").touch()
    housekeeping.expire(settings, store, now=10.0)
    assert list((settings.data / "jobs").iterdir()) == [settings.job("kept")]


def test_the_probe_of_an_upload_in_use_is_kept(settings: Settings) -> None:
    store = Store(settings.database)
    store.add(Upload(id="film", owner="me", bytes=1, sha256="f", created=0.0, used=9.5))
    store.add(Job(id="probe", owner="me", kind="probe", video="film", priority=PROBE, state="done", finished=0.0))
    store.add(Job(id="dub", owner="me", kind="dub", video="film", priority=DUB, state="done", finished=0.0))
    housekeeping.expire(settings, store, now=10.0)
    assert store.ids() == ({"film"}, {"probe"})
    store.add(Job(id="left", owner="me", kind="probe", video="gone", priority=PROBE, state="failed", finished=0.0))
    housekeeping.expire(settings, store, now=10.0)
    assert store.ids() == ({"film"}, {"probe"})
    housekeeping.expire(settings, store, now=20.0)
    assert store.ids() == (set(), set())


def test_files_are_removed_even_if_the_database_cannot_be_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk, the database can be written only after files were removed."""

    def fail(*arguments: object) -> int:
        raise OperationalError("UPDATE upload", {}, OSError("database or disk is full"))

    store = Store(settings.database)
    store.add(Upload(id="film", owner="me", bytes=1, sha256="f", used=0.0))
    settings.upload("film").touch()
    monkeypatch.setattr(Store, "_execute", fail)
    monkeypatch.setattr(Store, "delete", fail)
    with pytest.raises(OperationalError):
        housekeeping.expire(settings, store, now=10.0)
    assert not settings.upload("film").exists()
    assert store.upload("film", "me") is not None


def test_no_client_is_promised_a_file_that_is_gone(
    routes: TestClient, idle: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = upload_file(routes, b"RIFF0000WAVE")
    job = idle.store.add(Job(owner=routes.cookies["lipsmith_client"], kind="dub", video=upload, priority=DUB))
    while (claimed := idle.store.claim()) is not None:
        idle.store.finish(claimed.id, "done", {})
    idle.settings.job(job.id).mkdir()
    idle.settings.film(job.id, "result").touch()
    uploads, jobs = idle.settings.data / "uploads", idle.settings.data / "jobs"

    def ask(function: Callable[..., None]) -> Callable[..., None]:
        def remove(*given: object, **options: object) -> None:
            function(*given, **options)
            if not any(uploads.iterdir()):
                assert_problem(routes.get(f"/v1/uploads/{upload}"), 404, "no such upload")
            if not any(jobs.iterdir()):
                assert_problem(routes.get(f"/v1/jobs/{job.id}/result"), 404, "no such job")

        return remove

    monkeypatch.setattr(Path, "unlink", ask(Path.unlink))
    monkeypatch.setattr("shutil.rmtree", ask(shutil.rmtree))
    housekeeping.expire(idle.settings, idle.store, time.time() + 10)
    assert not [*uploads.iterdir(), *jobs.iterdir()]


def test_an_error_does_not_end_the_expiry(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[float] = []

    def fail(settings: Settings, store: Store, now: float) -> None:
        calls.append(now)
        raise RuntimeError("database is locked")

    async def wait(seconds: float) -> None:
        if len(calls) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(housekeeping, "expire", fail)
    monkeypatch.setattr("asyncio.sleep", wait)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(housekeeping.expire_periodically(settings, Store(settings.database)))
    assert len(calls) == 3
    assert "database is locked" in caplog.text
