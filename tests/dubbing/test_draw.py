"""Frames are drawn in groups."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from double import Double, Floats, make_dubber
from dub_samples import SIZE
from lipsmith import Dubber, Result
from lipsmith.dubbing import draw
from lipsmith.dubbing.draw import (
    GROUP,
    PART,
    draw_frame,
    draw_frames,
    dub_frames,
    paste_frame,
)
from lipsmith.dubbing.encoded import EncodedFaces, References
from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.dubbing.paste.composite import Compositor
from lipsmith.dubbing.scan import ArrayStore, Face
from lipsmith.media import Picture
from synthetic import SPEECH_RATE, make_film, speech


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", 0.5, 25, SIZE)


@pytest.fixture
def close_up(tmp_path: Path) -> Path:
    """The face is larger than what the networks draw."""
    return make_film(tmp_path / "large.mp4", 0.5, 25, (320, 320))


def dubbed(dubber: Dubber, film: Path) -> Result:
    return dubber.prepare(film).dub(speech(0.5), SPEECH_RATE)


def filmed(result: Result) -> Generator[Picture, None, None]:
    yield from result.clip.source.show(result.timeline.index, result.clip.times)


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
    result.clip.encoded[result.mouths[0].face]  # may draw references
    drawn.clear()
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


@pytest.mark.parametrize("begin", [0, 2])
def test_networks_get_the_same_for_frames_together_as_for_each_alone(film: Path, begin: int) -> None:
    """Also where a cut lies between the frames."""

    class Noting(Double):
        def __call__(self, stage: str, /, **inputs: Floats) -> tuple[Floats, ...]:
            for name, value in inputs.items():
                given.setdefault((stage, name), []).append(value)
            return super().__call__(stage, **inputs)

    def noted() -> dict[tuple[str, str], Floats]:
        found = {name: np.concatenate(values) for name, values in given.items()}
        given.clear()
        return found

    given: dict[tuple[str, str], list[Floats]] = {}
    result = dubbed(make_dubber(Noting()), film)
    (mouth,) = result.mouths
    place = np.arange(len(mouth.frames))
    cut = replace(mouth, begins=np.where(place < 3, 0, 3), ends=np.where(place < 3, 2, len(place) - 1))
    with closing(filmed(result)) as images:
        frames = list(enumerate(images))[begin : begin + 4]
    draw_frame(result.clip.encoded, [cut], *frames[0])  # now its references are encoded
    given.clear()
    draw_frames(result.clip.encoded, [cut], frames)
    together = noted()
    for frame in frames:
        draw_frame(result.clip.encoded, [cut], *frame)
    alone = noted()
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        assert np.array_equal(together[name], value), name


def test_detail_comes_from_the_references_of_each_frame(close_up: Path) -> None:
    class Shared(Double):
        def _paint(self, pictures: Floats, **others: Floats) -> tuple[Floats, ...]:
            lower, share = super()._paint(pictures, **others)
            return lower, share * pictures.mean((1, 2, 3, 4))[:, None, None, None]

        def _align(self, known: Floats, moving: Floats, **others: Floats) -> tuple[Floats, ...]:
            found = super()._align(known, moving, **others)
            return found[0], found[1] + known.mean((1, 2, 3))[:, None, None, None, None], *found[2:]

    result = dubbed(make_dubber(Shared()), close_up)
    (mouth,), encoded = result.mouths, result.clip.encoded
    with closing(filmed(result)) as images:
        frames = list(enumerate(images))[:5]
    native = encoded[mouth.face].native
    assert native is not None
    for frame, drawn in zip(frames, draw_frames(encoded, [mouth], frames), strict=True):
        (face,) = drawn.faces
        (alone,) = draw_frame(encoded, [mouth], *frame).faces
        assert face is not None
        assert alone is not None
        assert face.detail is not None
        assert alone.detail is not None
        expected = [native(reference) for reference in mouth.references[frame[0]]]
        assert all(map(np.array_equal, face.detail.pictures, expected))
        np.testing.assert_array_equal(face.detail.share, alone.detail.share)
        for placed, other in zip(face.detail.placed, alone.detail.placed, strict=True):
            np.testing.assert_array_equal(placed, other)
        assert face.detail.contrast == 1


def test_detail_fades_with_the_frame(close_up: Path) -> None:
    """At 40 % it has 40 % of its contrast."""
    result = dubbed(make_dubber(), close_up)
    with closing(filmed(result)) as images:
        image = np.asarray(next(images))
    faded = np.rint(0.4 * image).astype(np.uint8)
    (face,) = draw_frame(result.clip.encoded, result.mouths, 0, faded).faces
    assert face is not None
    assert face.detail is not None
    assert face.detail.contrast == pytest.approx(0.4, abs=0.05)


def test_references_that_look_unlike_the_frame_are_replaced(close_up: Path) -> None:
    """A hand covers the face in those that were planned."""
    result = dubbed(make_dubber(), close_up)
    (mouth,) = result.mouths
    planned, pool = mouth.references[0], mouth.face.pool[:]
    assert len(pool) > 2 * len(planned)
    pool[planned] = 255 - pool[planned]
    face = replace(mouth.face, pool=ArrayStore().put(pool))
    encoded = EncodedFaces(result.clip.backend, 1)
    native = encoded[face].native
    with closing(filmed(result)) as images:
        (drawn,) = draw_frame(encoded, [replace(mouth, face=face)], 0, next(images)).faces
    assert drawn is not None
    assert drawn.detail is not None
    assert native is not None
    for reference in planned:
        assert not any(np.array_equal(picture, native(reference)) for picture in drawn.detail.pictures)


@pytest.mark.parametrize("seen", [True, False])
def test_a_frame_that_looks_like_no_reference_is_drawn_if_the_face_is_seen_in_it(film: Path, seen: bool) -> None:
    """Otherwise something else is in the place of the face."""
    result = dubbed(make_dubber(), film)
    (mouth,) = result.mouths
    face = replace(mouth.face, seen=np.full(len(mouth.face.seen), seen))
    card = np.full((*SIZE, 3), (250, 20, 20), np.uint8)
    (drawn,) = draw_frame(result.clip.encoded, [replace(mouth, face=face)], 0, card).faces
    assert (drawn is not None) == seen


def test_a_mouth_is_as_opaque_as_its_face_and_begins_anew_after_a_cut(film: Path) -> None:
    class Pasting:
        def restart(self) -> None:
            done.append("restart")

        def paste(self, image: object, *_: object, opacity: float, **__: object) -> object:
            done.append(round(opacity, 2))
            return image

    done: list[str | float] = []
    result = dubbed(make_dubber(), film)
    (mouth,) = result.mouths
    face = replace(mouth.face, opacity=np.linspace(0.1, 1.3, 13, dtype=np.float32))
    cut = replace(mouth, face=face, begins=np.repeat([0, 3], [3, 10]))
    with closing(filmed(result)) as images:
        for number, image in zip(range(5), images, strict=False):
            frame = draw_frame(result.clip.encoded, [cut], number, image)
            frame = replace(frame, faces=[None]) if number == 3 else frame  # something else is in its place
            paste_frame({face.index: cast("Compositor", Pasting())}, [cut], frame)
    assert done == ["restart", 0.1, 0.2, 0.3, "restart", 0.5]


def test_what_goes_on_in_the_next_part_is_remembered(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of each part, of the faces whose run goes on."""
    monkeypatch.setattr(draw, "PART", GROUP)
    result = dubbed(make_dubber(), film)
    (mouth,) = result.mouths
    for begins, faces in ((np.zeros(13, np.intp), {4: [0], 9: [0]}), (np.repeat([0, 5], [5, 8]), {4: [], 9: [0]})):
        frames = dub_frames(result.clip.encoded, [replace(mouth, begins=begins)], filmed(result), 1, 0, {})
        kept = {frame.number: frame.memories for frame in frames}
        assert {number: list(memories) for number, memories in kept.items() if memories is not None} == faces


def test_the_frames_before_damage_are_drawn(film: Path) -> None:
    def torn() -> Generator[Picture, None, None]:
        with closing(filmed(result)) as images:
            for _ in range(7):
                yield next(images)
        raise ValueError("torn film")

    result = dubbed(make_dubber(), film)
    frames = dub_frames(result.clip.encoded, result.mouths, torn(), 1, 0, {})
    assert [next(frames).number for _ in range(7)] == [*range(7)]
    with pytest.raises(ValueError, match="torn film"):
        next(frames)


def test_a_part_ends_with_a_group() -> None:
    assert PART % GROUP == 0
