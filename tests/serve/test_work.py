"""The jobs of the worker."""

from __future__ import annotations

import shutil
import wave
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="the worker needs the serve extra")

from double import make_dubber
from lipsmith.errors import InputError, LipsmithError
from lipsmith.progress import Progress
from lipsmith.serve import work
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import DUB, SIDE, Job
from lipsmith.serve.views import DubRequest

FILM, WORDS = "0" * 32, "1" * 32


class Reporter:
    def stage(self, name: str, later: float = 0.0) -> Progress:
        return lambda done, total: None


@pytest.fixture
def settings(tmp_path: Path, film: Path, voice: Path) -> Settings:
    settings = Settings(data=tmp_path)
    (tmp_path / "uploads").mkdir()
    for name, path in ((FILM, film), (WORDS, voice)):
        settings.upload(name).write_bytes(path.read_bytes())
    return settings


def test_films_do_not_take_the_room_of_the_database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = work.Tasks(settings, make_dubber())
    options = DubRequest(video=FILM, speech=WORDS, compare=True).model_dump(exclude={"video", "speech"})
    dub = Job(id="dub", owner="me", kind="dub", video=FILM, speech=WORDS, options=options, priority=DUB)
    side = Job(owner="me", kind="side", video="dub", priority=SIDE)
    tasks.run(dub, Reporter())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=settings.spare_disk - 1))
    for job in (side, dub):
        with pytest.raises(LipsmithError, match="nearly full"):
            tasks.run(job, Reporter())
    assert {path.name for path in settings.job("dub").iterdir()} == {"before.mp4", "result.mp4"}


def test_speech_that_outlasts_its_header_is_refused_before_it_is_worked_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = work.Tasks(replace(settings, max_minutes=1e-3), make_dubber())
    monkeypatch.setattr(work, "inspect", lambda *_: {"kind": "film", "seconds": 0.01, "sound": True})
    monkeypatch.setattr(tasks, "_result", lambda *_: pytest.fail("all of it was heard"))
    with wave.open(str(settings.upload(WORDS)), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000 * 2))
    options = DubRequest(video=FILM, speech=WORDS).model_dump(exclude={"video", "speech"})
    dub = Job(owner="me", kind="dub", video=FILM, speech=WORDS, options=options, priority=DUB)
    with pytest.raises(InputError, match="speech is longer than its header declares"):
        tasks.run(dub, Reporter())
