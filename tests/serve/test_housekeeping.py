"""Expired files are removed, whatever else happens in the data folder."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from lipsmith.serve import housekeeping
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "clips").mkdir()
    return Settings(data=tmp_path, keep=1.0)


def test_a_clip_that_vanishes_does_not_keep_others(settings: Settings) -> None:
    clips = [settings.data / "clips" / name for name in "abc"]
    for clip in clips:
        clip.mkdir()
        os.utime(clip, (0, 0))
    # Like a temporary folder that was renamed after the listing, a dangling link is listed but has no time.
    (settings.data / "clips" / "renamed").symlink_to(settings.data / "missing")
    housekeeping.expire(settings, Store(settings.database), now=10.0)
    assert not any(clip.exists() for clip in clips)


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
    monkeypatch.setattr(housekeeping.asyncio, "sleep", wait)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(housekeeping.expire_periodically(settings, Store(settings.database)))
    assert len(calls) == 3
    assert "database is locked" in caplog.text
