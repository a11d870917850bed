"""Hands and other things before a mouth stay as filmed, and the new mouth is behind them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from caption_samples import boxed
from lipsmith import Dubber
from lipsmith.dubbing.encoded import _native as at_film_size
from lipsmith.dubbing.encoded import covers_of, uncovered
from lipsmith.dubbing.scan import Face
from lipsmith.face.crop import apply, invert
from lipsmith.media import read_frames
from objects import Point, with_finger, with_hand, with_microphone
from synthetic import DEMO, face_at, speech

Image = NDArray[np.uint8]
Hold = Callable[[Image, NDArray[np.float32], Point], tuple[Image, NDArray[np.bool_]]]
FRAMES = 40
HELD = range(12, 26)


@pytest.fixture(scope="module")
def dubber() -> Dubber:
    return Dubber.from_pretrained("fast", device="cpu", threads=2)


@pytest.fixture(scope="module")
def filmed(dubber: Dubber) -> tuple[list[Image], Face]:
    images = [face_at(index / 25, (480, 480)) for index in range(FRAMES)]
    return images, dubber.prepare(images).chosen[0]


def held(
    filmed: tuple[list[Image], Face], hold: Hold, frames: range, speed: float = 4.0
) -> tuple[list[Image], dict[int, NDArray[np.bool_]]]:
    """Return the film with something that passes before the face in some frames, and where it is in each of them."""
    plain, face = filmed
    points = apply(invert(face.transforms), face.points[:])
    shown, places = list(plain), {}
    for index in frames:
        at = (speed / 2 - speed * (index - frames[0]) / len(frames), 0.3)
        shown[index], places[index] = hold(plain[index], points[index], at)
    return shown, places


@pytest.mark.parametrize("hold", [with_hand, with_microphone])
def test_what_passes_before_a_mouth_stays(dubber: Dubber, filmed: tuple[list[Image], Face], hold: Hold) -> None:
    shown, places = held(filmed, hold, HELD)
    frames = dubber.prepare(shown).dub(speech(FRAMES / 25)).frames()
    assert_kept([frame.image for frame in frames], shown, places)


def test_what_stays_before_a_mouth_in_every_frame_stays(dubber: Dubber, filmed: tuple[list[Image], Face]) -> None:
    """All references show it, and with them the drawing."""
    shown, places = held(filmed, with_microphone, range(FRAMES), speed=0.0)
    frames = dubber.prepare(shown).dub(speech(FRAMES / 25)).frames()
    for index, frame in enumerate(frames):
        changed = np.abs(frame.image.astype(int) - shown[index]).max(2)[places[index]]
        assert changed.mean() < 2, index


def test_stripes_of_light_on_a_face_are_no_object(dubber: Dubber, filmed: tuple[list[Image], Face]) -> None:
    """Taken for one, they would keep the filmed mouth."""
    y, x = np.mgrid[:480, :480]
    light = np.where(np.sin((y + 0.4 * x) / 9) > 0.2, 0.5, 1.0)[..., None]
    shown = [(image * light).astype(np.uint8) for image in filmed[0]]
    clip = dubber.prepare(shown)
    dubbed = [frame.image for frame in clip.dub(speech(FRAMES / 25)).frames()]
    changed = [np.abs(new.astype(int) - image).max(2) for new, image in zip(dubbed, shown, strict=True)]
    assert np.median([(of_frame > 20).sum() for of_frame in changed]) > 300


def test_live_sessions_keep_a_hand(dubber: Dubber, filmed: tuple[list[Image], Face]) -> None:
    shown, places = held(filmed, with_hand, HELD)
    session = dubber.prepare(shown).live(16000, paced=False)
    session.push(speech(FRAMES / 25))
    session.flush()
    assert_kept([frame.image for frame in session.frames()][:FRAMES], shown, places)


def assert_kept(dubbed: list[Image], shown: list[Image], places: dict[int, NDArray[np.bool_]]) -> None:
    """Assert that nothing changes at those places of some frames, and mouths do elsewhere."""
    changed = [np.abs(new.astype(int) - image).max(2) for new, image in zip(dubbed, shown, strict=True)]
    for index, inside in places.items():
        assert changed[index][inside].mean() < 2, index
        assert (changed[index][inside] > 25).mean() < 0.03, index
    assert np.median([(of_frame > 20).sum() for of_frame in changed]) > 100


@pytest.mark.parametrize("hold", [with_hand, with_microphone])
def test_references_before_which_something_lies_are_known(
    dubber: Dubber, filmed: tuple[list[Image], Face], hold: Hold
) -> None:
    shown, places = held(filmed, hold, HELD)
    clip = dubber.prepare(shown)
    covered = clip.encoded[clip.chosen[0]].covered
    mostly = [index for index in places if abs(2.0 - 4.0 * (index - HELD[0]) / len(HELD)) < 0.8]
    assert len(mostly) <= covered.sum() <= len(places)
    plain = dubber.prepare(filmed[0])
    assert not plain.encoded[plain.chosen[0]].covered.any()


def test_where_something_lies_before_some_references_all_are_looked_at(
    dubber: Dubber, filmed: tuple[list[Image], Face]
) -> None:
    clip = dubber.prepare(held(filmed, with_microphone, HELD)[0])
    known, images = clip.encoded[clip.chosen[0]], np.asarray(clip.chosen[0].pool)
    few = known.covered & (known.covered.cumsum() <= 3)
    found = covers_of(clip.encoded.backend, known.encoded, images, np.flatnonzero(few), few).any((1, 2, 3))
    assert (found & known.covered).sum() > 3
    assert (found & ~known.covered).sum() < 2
    assert not covers_of(clip.encoded.backend, known.encoded, images, np.zeros(0, np.intp), few).any()


def test_what_stays_before_a_face_is_found_although_no_color_is_odd(
    dubber: Dubber, filmed: tuple[list[Image], Face]
) -> None:
    """Drawn from the reference that is nearest, which shows it, too, it would not be."""
    clip = dubber.prepare(held(filmed, with_finger, HELD, speed=0.0)[0])
    known, images = clip.encoded[clip.chosen[0]], np.asarray(clip.chosen[0].pool)
    few = np.flatnonzero(known.covered)[:5]
    nothing_odd = np.zeros(len(images), bool)
    found = covers_of(clip.encoded.backend, known.encoded, images, few, nothing_odd).any((1, 2, 3))
    assert found.sum() == len(HELD)
    assert np.array_equal(found, known.covered)


def test_references_have_skin_in_place_of_what_covers_them() -> None:
    images = np.full((2, 128, 128, 3), 120, np.uint8)
    images[:, :48] = 60
    images[:, 90:110, 40:80] = (250, 20, 20)
    covers = np.zeros((2, 32, 32, 1), np.float32)
    covers[1, 21:29, 9:21] = 1
    free = uncovered(images, covers)
    assert np.array_equal(free[0], images[0])
    assert np.abs(free[1, 48:].astype(int) - 120).max() < 8
    filmed = np.full((160, 256, 4), 120, np.uint8)  # at the film's resolution: the lower rows of a crop twice as large
    filmed[84:124, 80:160] = (250, 20, 20, 120)
    assert np.array_equal(at_film_size(lambda rank: filmed, free, covers, 0), filmed)
    clean = at_film_size(lambda rank: filmed, free, covers, 1)[..., :3]
    assert np.abs(clean.astype(int) - 120).max() < 8


def test_a_caption_in_all_references_is_not_mixed_with_their_words(dubber: Dubber) -> None:
    words = ("what", "you", "mean", "to say", "now")
    film = [
        boxed(np.asarray(frame.image), words[number // 8 % 5], (222, 204))
        for number, frame in enumerate(read_frames(DEMO / "actor.mp4", end=1.6))
    ]
    for frame in dubber.prepare([image for image, _ in film]).dub(DEMO / "speech.wav").frames():
        if frame.index < len(film):
            image, box = film[frame.index]
            changed = np.abs(frame.image.astype(int) - image).max(2)[box]
            assert (changed > 24).mean() < 0.03, frame.index
