"""Frames are drawn in groups."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from double import Double, Floats, make_dubber
from dub_samples import SIZE
from lipsmith import Dubber, Result
from lipsmith.dubbing.draw import GROUP, PART, EncodedFaces, References, draw_frame, draw_frames, dub_frames
from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.dubbing.scan import Face
from lipsmith.media import Picture
from synthetic import SPEECH_RATE, make_film, speech


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", 0.5, 25, SIZE)


def dubbed(dubber: Dubber, film: Path) -> Result:
    return dubber.prepare(film).dub(speech(0.5), SPEECH_RATE)


def filmed(result: Result) -> Generator[Picture, None, None]:
    return result.clip.source.show(result.timeline.index, result.clip.times)


def without(mouth: MouthTrack, place: int) -> MouthTrack:
    """A track that does not show the face in one of its frames."""
    names = ("frames", "times", "rows", "references", "begins", "ends")
    kept: dict[str, Any] = {name: np.delete(getattr(mouth, name), place) for name in names if name != "references"}
    points = np.delete(mouth.points[:], place, axis=0)
    ends = np.minimum(kept.pop("ends"), len(points) - 1)
    return replace(mouth, **kept, ends=ends, points=points, references=np.delete(mouth.references, place, axis=0))


@pytest.mark.parametrize("name", ["double", "fast"])
def test_frames_drawn_together_are_as_if_each_were_drawn_alone(film: Path, name: str) -> None:
    result = dubbed(make_dubber() if name == "double" else Dubber.from_pretrained(name, "cpu", 1), film)
    (mouth,), encoded = result.mouths, result.clip.encoded
    mouths = [mouth, without(mouth, 2)]
    with closing(filmed(result)) as images:
        frames = [(number, next(images)) for number in range(4)]
    together = draw_frames(encoded, mouths, frames)
    for shown, frame in zip(frames, together, strict=True):
        alone = draw_frame(encoded, mouths, *shown)
        assert (frame.number, frame.filmed) == (alone.number, alone.filmed) == shown
        assert [face is None for face in frame.faces] == [False, frame.number == 2]
        for face, other in zip(frame.faces, alone.faces, strict=True):
            if face and other:
                # Networks round differently, and 8 bits make the most of that.
                assert np.abs(face.image.astype(int) - other.image).mean() < 0.2
                assert np.array_equal(face.filmed, other.filmed)


@pytest.mark.parametrize(("begin", "groups"), [(0, [5, 5, 3]), (3, [2, 5, 3]), (5, [5, 3])])
def test_groups_are_the_same_wherever_drawing_begins(film: Path, begin: int, groups: list[int]) -> None:
    class Counting(Double):
        def _paint(self, pictures: Floats, **others: Floats) -> tuple[Floats, ...]:
            drawn.append(len(pictures))
            return super()._paint(pictures, **others)

    drawn: list[int] = []
    result = dubbed(make_dubber(Counting()), film)
    images = filmed(result)
    for _ in range(begin):
        next(images)
    frames = list(dub_frames(result.clip.encoded, result.mouths, images, 1, begin, {}))
    assert [frame.number for frame in frames] == list(range(begin, 13))
    assert drawn == groups


def test_a_group_asks_once_for_the_references_of_each_face_that_it_shows(film: Path) -> None:
    class Asked(EncodedFaces):
        def __getitem__(self, face: Face) -> References:
            asked.append(face.index)
            return super().__getitem__(face)

    asked: list[int] = []
    result = dubbed(make_dubber(), film)
    (mouth,) = result.mouths
    absent, present = (replace(mouth, face=replace(mouth.face, index=index)) for index in (1, 2))
    absent = replace(absent, frames=absent.frames + 100)
    with closing(filmed(result)) as images:
        frames = [(number, next(images)) for number in range(4)]
    drawn = draw_frames(Asked(Double(), 2), [mouth, absent, present], frames)
    assert asked == [mouth.face.index, 2]
    assert [[face is None for face in frame.faces] for frame in drawn] == 4 * [[False, True, False]]


def test_a_part_ends_with_a_group() -> None:
    assert PART % GROUP == 0
