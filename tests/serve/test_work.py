"""The jobs of the worker."""

from __future__ import annotations

import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the worker needs the serve extra")

import video_samples
from double import make_dubber
from dub_samples import two_faces, write_film, write_wav
from lipsmith import Clip, Dubber, Result
from lipsmith.dubbing import pipeline
from lipsmith.dubbing.mouth import predict_mouth
from lipsmith.dubbing.source import play
from lipsmith.errors import InputError, LipsmithError
from lipsmith.progress import Progress
from lipsmith.serve import work
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import DUB, SIDE, Job
from lipsmith.serve.views import DubRequest
from synthetic import make_film, speech

FILM, WORDS, OTHER = "0" * 32, "1" * 32, "2" * 32


class Reporter:
    """Notes the frames to dub after each stage."""

    def __init__(self) -> None:
        self.later: dict[str, float] = {}

    def stage(self, name: str, later: float = 0.0) -> Progress:
        self.later[name] = later
        return lambda done, total: None


@pytest.fixture
def settings(settings: Settings, film: Path, voice: Path) -> Settings:
    for name, path in ((FILM, film), (WORDS, voice)):
        settings.upload(name).write_bytes(path.read_bytes())
    return settings


def dub_job(**fields: Any) -> Job:  # noqa: ANN401 - fields of a request
    """A dub of the film, by default with the words."""
    said = {} if "speeches" in fields else {"speech": WORDS}
    request = DubRequest(video=FILM, **(said | fields))
    options = request.model_dump(exclude={"video", "speech"})
    return Job(id="dub", owner="me", kind="dub", video=FILM, speech=request.speech, options=options, priority=DUB)


def test_films_do_not_take_the_room_of_the_database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = work.Tasks(settings, make_dubber())
    dub = dub_job(compare=True)
    side = Job(owner="me", kind="side", video="dub", priority=SIDE)
    tasks.run(dub, Reporter())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=settings.spare_disk - 1))
    for job in (side, dub):
        with pytest.raises(LipsmithError, match="nearly full"):
            tasks.run(job, Reporter())
    assert {path.name for path in settings.job("dub").iterdir()} == {"before.mp4", "result.mp4"}


@pytest.mark.parametrize("sound", ["wav", "film whose picture begins after it"])
def test_speech_that_outlasts_its_header_is_refused_before_it_is_worked_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sound: str
) -> None:
    tasks = work.Tasks(replace(settings, max_minutes=1e-3), make_dubber())
    monkeypatch.setattr(work, "inspect", lambda *_: {"kind": "film", "seconds": 0.01, "sound": True})
    monkeypatch.setattr(tasks, "_result", lambda *_: pytest.fail("all of it was heard"))
    if sound == "wav":
        with wave.open(str(settings.upload(WORDS)), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(2 * 8000 * 2))
    else:
        black = [np.zeros((32, 32, 3), np.uint8)] * 2
        late = video_samples.film(tmp_path / "late.mkv", black, audio=speech(2.0), times=[1.9, 1.94])
        settings.upload(WORDS).write_bytes(late.read_bytes())
    with pytest.raises(InputError, match="speech is longer than its header declares"):
        tasks.run(dub_job(), Reporter())


def test_a_result_that_outlasts_the_header_of_its_film_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The footage goes on after the speech; at a low rate it has few frames."""
    make_film(tmp_path / "slow.mp4", 1.4, 5, (160, 160)).rename(settings.upload(FILM))
    monkeypatch.setattr(work, "inspect", lambda *_: {"kind": "film", "seconds": 0.01, "sound": True})
    tasks = work.Tasks(replace(settings, max_minutes=5e-3), make_dubber())
    with pytest.raises(InputError, match="film is longer than its header declares"):
        tasks.run(dub_job(tail="keep"), Reporter())
    assert not settings.job("dub").exists()
    tasks = work.Tasks(replace(settings, max_minutes=7e-3), make_dubber())
    assert tasks.run(dub_job(tail="keep"), Reporter())["seconds"] == pytest.approx(1.4)


def test_a_film_with_far_more_frames_than_the_limit_allows_is_not_read_to_its_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is 240 frames a second: 7 of its 10 frames, then 14."""
    monkeypatch.setattr(work, "inspect", lambda *_: {"kind": "film", "seconds": 0.01, "sound": True})
    tasks = work.Tasks(replace(settings, max_minutes=0.5e-3), make_dubber())
    with pytest.raises(InputError, match="film is longer than its header declares"):
        tasks.run(dub_job(), Reporter())
    tasks = work.Tasks(replace(settings, max_minutes=1e-3), make_dubber())
    assert tasks.run(dub_job(), Reporter())["frames"] == 10


def test_a_job_gets_the_cpu_time_of_all_its_uploads(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads whose length is not known yet get that of a minute."""

    @contextmanager
    def limit(seconds: float) -> Iterator[None]:
        limits.append(seconds)
        yield

    limits: list[float] = []
    monkeypatch.setattr(work, "limit_cpu_time", limit)
    work.Tasks(settings, make_dubber()).run(dub_job(), Reporter())
    assert limits == [60, *2 * [pytest.approx(0.8, abs=0.05)]]
    # A speech with a single picture, which counts as one.
    monkeypatch.setattr(work, "inspect", lambda *_: {"kind": "picture", "seconds": None, "sound": True})
    work.Tasks(settings, make_dubber()).run(dub_job(), Reporter())
    assert limits[3:] == [60, 0, pytest.approx(0.4, abs=0.05)]


def test_a_dub_that_runs_again_replaces_its_film(settings: Settings) -> None:
    """As after a crash between the end of the film and that of the job."""
    tasks = work.Tasks(settings, make_dubber())
    assert [tasks.run(dub_job(preview=seconds), Reporter())["frames"] for seconds in (0.2, 0.4)] == [5, 10]
    assert [path.name for path in settings.job("dub").iterdir()] == ["result.mp4"]


def test_the_figures_of_a_dub(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces are found in 3 s, and the film is drawn in 2 s."""
    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=iter([10.0, 13.0, 15.0]).__next__))
    figures = work.Tasks(settings, make_dubber()).run(dub_job(), Reporter())
    assert figures == {
        "frames": 10,
        "seconds": pytest.approx(0.4),
        "width": 160,
        "height": 160,
        "speech": True,
        "faces": [1],
        "bytes": settings.film("dub", "result").stat().st_size,
        "preparing_seconds": 3.0,
        "dubbing_seconds": 2.0,
        "fps": 5.0,
    }


@pytest.mark.parametrize("asked", [{}, {"preview": 0.2}, {"speeches": {1: WORDS}}])
def test_the_figures_tell_of_a_speech_without_words(settings: Settings, asked: dict[str, Any]) -> None:
    write_wav(settings.upload(WORDS), np.zeros(8000, np.float32))
    assert work.Tasks(settings, make_dubber()).run(dub_job(**asked), Reporter())["speech"] is False


@pytest.mark.parametrize(
    "asked", [{}, {"preview": 0.2}, {"speeches": {1: WORDS}}, {"speeches": {1: WORDS}, "preview": 0.2}]
)
def test_a_dub_has_the_requested_strength_fit_and_tail(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    """A preview ends with the seconds that it shows."""

    def noted_play(times: Any, footage: Any, seconds: float, fit: Any) -> Any:  # noqa: ANN401 - a timeline
        played.append((round(seconds, 2), fit))
        return play(times, footage, seconds, fit)

    def noted_predict(*given: Any) -> Any:  # noqa: ANN401 - a mouth track
        strengths.append(given[-1])
        return predict_mouth(*given)

    played: list[tuple[float, str]] = []
    strengths: list[float] = []
    monkeypatch.setattr(pipeline, "play", noted_play)
    monkeypatch.setattr(pipeline, "predict_mouth", noted_predict)
    write_wav(settings.upload(WORDS), speech(0.3))
    request = {"strength": 1.5, "fit": "hold", "tail": "keep"} | asked
    work.Tasks(settings, make_dubber()).run(dub_job(**request), Reporter())
    assert (played, strengths) == ([(0.2 if "preview" in asked else 0.4, "hold")], [1.5])


def test_a_film_is_written_as_requested(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(result: Result, path: Path, **options: Any) -> Path:  # noqa: ANN401 - those of the film
        saved.append(options)
        return own_save(result, path, **options)

    saved: list[dict[str, Any]] = []
    own_save = Result.save
    monkeypatch.setattr(Result, "save", save)
    tasks = work.Tasks(settings, make_dubber())
    tasks.run(dub_job(), Reporter())
    tasks.run(dub_job(language="deu", label=True, side_by_side=True, background=WORDS, gain=-3.0), Reporter())
    names = ("language", "label", "side_by_side")
    assert [[one[name] for name in names] for one in saved] == [[None, False, False], ["deu", True, True]]
    assert saved[0]["background"] is None
    assert (saved[1]["background"].file, saved[1]["background"].gain) == (settings.upload(WORDS), -3.0)


@pytest.mark.parametrize("field", ["speech", "background"])
def test_sound_is_heard_only_from_uploads_that_have_it(settings: Settings, tmp_path: Path, field: str) -> None:
    make_film(tmp_path / "silent.mp4", 0.2, 25, (160, 160)).rename(settings.upload(OTHER))
    with pytest.raises(InputError, match="has no sound; choose a recording"):
        work.Tasks(settings, make_dubber()).run(dub_job(**{field: OTHER}), Reporter())


def test_a_sound_shows_no_faces(settings: Settings) -> None:
    """It may have been accepted as the video before it was probed."""
    settings.upload(FILM).write_bytes(settings.upload(WORDS).read_bytes())
    with pytest.raises(InputError, match="is a sound; choose a film or a picture"):
        work.Tasks(settings, make_dubber()).run(dub_job(), Reporter())


def test_a_preview_of_an_empty_sound_track_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "inspect", lambda *_: {"kind": "film", "seconds": 0.4, "sound": True})
    write_wav(settings.upload(WORDS), speech(0))
    with pytest.raises(InputError, match="audio track of the speech is empty"):
        work.Tasks(settings, make_dubber()).run(dub_job(preview=0.2), Reporter())


def test_the_longest_speech_tells_how_many_frames_follow_the_search_for_faces(
    settings: Settings, tmp_path: Path
) -> None:
    write_film(tmp_path / "two.mp4", [two_faces()] * 3).rename(settings.upload(FILM))
    write_wav(settings.upload(OTHER), speech(0.8))
    for asked, frames in (({"speech": OTHER}, 20), ({"preview": 0.2}, 5), ({"speeches": {1: WORDS, 2: OTHER}}, 20)):
        reporter = Reporter()
        work.Tasks(settings, make_dubber()).run(dub_job(**asked), reporter)
        assert reporter.later == {"faces": pytest.approx(frames), "dubbing": 0.0}


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({}, (None, None)),
        ({"start": 0.1, "end": 0.3}, (0.1, 0.3)),
        ({"preview": 0.2}, (None, 0.2)),
        ({"preview": 0.2, "start": 0.1}, (0.1, pytest.approx(0.3))),
        ({"preview": 0.2, "end": 0.1}, (None, 0.1)),
        ({"preview": 0.2, "end": 0.3}, (None, 0.2)),
        ({"preview": 0.2, "face": "1"}, (None, None)),  # the number is that of all footage
        ({"preview": 0.2, "speeches": {1: WORDS}}, (None, None)),
    ],
)
def test_a_preview_prepares_the_footage_that_it_shows(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], part: tuple[float | None, float | None]
) -> None:
    def prepare(dubber: Dubber, path: Path, face: str, start: float | None, end: float | None, **others: Any) -> Clip:  # noqa: ANN401
        parts.append((start, end))
        return own_prepare(dubber, path, face, start, end, **others)

    parts: list[tuple[float | None, float | None]] = []
    own_prepare = Dubber.prepare
    monkeypatch.setattr(Dubber, "prepare", prepare)
    work.Tasks(settings, make_dubber()).run(dub_job(**asked), Reporter())
    assert parts == [part]


def test_a_preview_of_prepared_footage_prepares_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = work.Tasks(settings, make_dubber())
    tasks.run(dub_job(), Reporter())
    monkeypatch.delattr(Dubber, "prepare")
    assert tasks.run(dub_job(preview=0.2), Reporter())["frames"] == 5


def test_each_part_of_an_upload_is_prepared_once() -> None:
    def prepare(path: Path, *part: object, **others: object) -> SimpleNamespace:
        prepared.append((path.name, *part))
        return SimpleNamespace(faces=[])

    prepared: list[tuple[object, ...]] = []
    cache = work.ClipCache(cast("Dubber", SimpleNamespace(prepare=prepare)))
    parts = [("a", None, None), ("a", None, 1.0), ("a", 0.5, None), ("a", 0.5, 1.0), ("b", None, None)]
    for name, start, end in 2 * parts:
        cache.get(Path("uploads", name), start, end, lambda done, total: None)
    assert prepared == [(name, "all", start, end) for name, start, end in parts]
    assert all(cache.has(*part) for part in parts)


@pytest.mark.parametrize(
    ("frames", "asked", "kept"),
    [
        (400_000, "ab", "ab"),
        (400_000, "abac", "ac"),  # the least recently used one goes
        (480_000, "ab", "b"),  # what the networks make of the references counts
        (2_000_000, "ab", "b"),  # one is kept however large it is
    ],
)
def test_prepared_clips_take_a_limited_amount_of_memory(frames: int, asked: str, kept: str) -> None:
    clip = SimpleNamespace(faces=[SimpleNamespace(frames=range(frames))])
    cache = work.ClipCache(cast("Dubber", SimpleNamespace(prepare=lambda *given, **others: clip)))
    for name in asked:
        assert cache.get(Path(name), None, None, lambda done, total: None) is cast("object", clip)
    assert [name for name in "abc" if cache.has(name, None, None)] == list(kept)
