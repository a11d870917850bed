"""The main job as a whole: one call dubs, and reads its inputs no more often than necessary."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import lipsmith
from double import Double, Floats, make_dubber
from dub_samples import SIZE, write_wav
from lipsmith import Result
from lipsmith.dubbing.draw import GROUP
from lipsmith.dubbing.pipeline import MOST_AT_ONCE
from lipsmith.face import FaceTracker
from lipsmith.live import Live
from lipsmith.media import VideoWriter, probe, read_frames
from lipsmith.media.container import Chapter
from synthetic import face_at, make_film, speech


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", 0.4, 25, SIZE, audio=speech(0.4))


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "words.wav", speech(0.3))


pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize("name", lipsmith.__all__)
def test_the_public_names_exist(name: str) -> None:
    assert getattr(lipsmith, name) is not None
    assert name in dir(lipsmith)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Judge'"):
        _ = lipsmith.Judge


def test_one_call_dubs(tmp_path: Path, film: Path, words: Path) -> None:
    titles: list[str] = []

    def note(title: str) -> AbstractContextManager[None]:
        titles.append(title)
        return nullcontext()

    options = lipsmith.DubOptions(side_by_side=True)
    out = lipsmith.dub(film, words, tmp_path / "out.mp4", options, progress_of=note)
    assert out == tmp_path / "out.mp4"
    assert next(read_frames(out)).image.shape == (SIZE[1], 2 * SIZE[0], 3)
    assert titles == ["film.mp4: faces", "out.mp4: dubbing"]


def test_the_result_keeps_title_and_chapters(tmp_path: Path, words: Path) -> None:
    chapters = [Chapter(0.0, 0.08, "One"), Chapter(0.08, 0.4, "Two")]
    with VideoWriter(tmp_path / "told.mp4", *SIZE, 25, metadata={"title": "A Film"}, chapters=chapters) as film:
        for number in range(10):
            film.write(face_at(number / 25, SIZE), number / 25)
    info = probe(lipsmith.dub(tmp_path / "told.mp4", words, tmp_path / "out.mp4"))
    assert info.metadata["title"] == "A Film"
    kept = [(part.title, round(part.start, 2), round(part.end, 2)) for part in info.chapters]
    assert kept == [("One", 0, 0.08), ("Two", 0.08, 0.32)]  # as long as the speech


@pytest.mark.parametrize("speech_is_a_film", [False, True])
def test_inputs_are_opened_no_more_often_than_necessary(
    tmp_path: Path, film: Path, words: Path, monkeypatch: pytest.MonkeyPatch, speech_is_a_film: bool
) -> None:
    said = make_film(tmp_path / "said.mp4", 0.3, 25, SIZE, audio=speech(0.3)) if speech_is_a_film else words
    opened: Counter[str] = Counter()
    open_media: Any = av.open

    def counting(file: str, mode: str = "r", **options: Any) -> Any:  # noqa: ANN401 - as PyAV's
        opened[Path(file).name] += mode == "r"
        return open_media(file, mode, **options)

    monkeypatch.setattr(av, "open", counting)
    lipsmith.dub(film, said, tmp_path / "out.mp4")
    assert opened["film.mp4"] == 3, "probe, scan and draw"
    assert opened[said.name] == 2, "recording and write"


class Uneven(Double):
    """Takes longer over every other frame."""

    def _paint(self, pictures: Floats, **others: Floats) -> tuple[Floats, ...]:
        time.sleep(0.03 * (self.calls["paint"] % 2))
        return super()._paint(pictures, **others)


def test_frames_rendered_in_parallel_equal_those_rendered_in_sequence(film: Path, words: Path) -> None:
    alone, together = (list(make_dubber(Uneven(), threads).prepare(film).dub(words).frames()) for threads in (1, 3))
    assert [frame.index for frame in together] == list(range(len(alone)))
    assert [frame.time for frame in together] == [frame.time for frame in alone]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(alone, together, strict=True))


def test_both_passes_use_all_cores_unless_told(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def tracker(most: int, threads: int) -> FaceTracker:
        asked.append(threads)
        return FaceTracker(most, threads)

    monkeypatch.setattr("lipsmith.dubbing.pipeline.FaceTracker", tracker)
    monkeypatch.setattr("lipsmith.dubbing.pipeline.usable_cores", lambda: 3)
    clips = [make_dubber(threads=threads).prepare(film) for threads in (None, 1)]
    assert asked == [clip.at_once for clip in clips] == [3, 1]


def test_many_cores_draw_no_more_frames_at_once_than_are_pasted(film: Path) -> None:
    assert make_dubber(threads=16).prepare(film).at_once == MOST_AT_ONCE


def test_the_result_of_slides_has_the_rate_at_which_they_are_shown(tmp_path: Path) -> None:
    """Matroska declares the length with it: frames of five seconds each made it several seconds too long."""
    slides = [face_at(time, SIZE) for time in (0.0, 0.1, 0.2)]
    result = make_dubber().prepare(slides, rate=0.2).dub(speech(0.4)).save(tmp_path / "a.mkv")
    with av.open(str(result)) as film:
        assert film.duration == pytest.approx(0.4 * av.time_base, abs=0.1 * av.time_base)
        assert film.streams.video[0].average_rate == 25


def test_a_rendering_error_is_raised_after_the_groups_of_frames_before_it(film: Path, words: Path) -> None:
    class Failing(Double):
        """References are drawn, too, fewer at a time."""

        is_over = False

        def _paint(self, pictures: Floats, **others: Floats) -> tuple[Floats, ...]:
            if self.is_over:
                raise MemoryError("no room")
            self.is_over = len(pictures) == GROUP
            return super()._paint(pictures, **others)

    frames = make_dubber(Failing(), 1).prepare(film).dub(words).frames()
    threads = threading.active_count()
    assert [next(frames).index for _ in range(GROUP)] == [*range(GROUP)]
    with pytest.raises(MemoryError, match="no room"):
        next(frames)
    assert threading.active_count() == threads


@pytest.mark.parametrize("frames", [Result.frames, Live.frames])
def test_a_type_checker_knows_that_frames_are_arrays_and_can_be_closed(frames: Callable[..., object]) -> None:
    returned = get_type_hints(frames)["return"]
    assert get_origin(returned) is Generator
    assert get_type_hints(get_args(returned)[0])["image"] == NDArray[np.uint8]
