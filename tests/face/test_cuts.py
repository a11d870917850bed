"""Cuts and dissolves in pictures whose story is known."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face.crop import Square
from lipsmith.face.cuts import (
    MIN_DIFFERENCE,
    Changes,
    CutDetector,
    Dissolve,
    DissolveDetector,
    Thumbnail,
    difference,
    thumbnail,
)
from lipsmith.media.color import ColorTags, FilmedPicture, RGBToFrame
from synthetic import face_at

Picture = NDArray[np.uint8]


def scenery(seed: int, height: int = 240, width: int = 320) -> Picture:
    """A smooth random picture with mid-range colors."""
    coarse = np.random.default_rng(seed).integers(40, 160, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def speaker(seed: int, x: float, y: float) -> Picture:
    """Scenery with a large light ellipse, as a head, centered at x, y, and dark or light clothes."""
    image = scenery(seed)
    cv2.rectangle(image, (round(x) - 90, round(y) + 60), (round(x) + 90, 240), (200 * (seed % 2),) * 3, -1)
    cv2.ellipse(image, (round(x), round(y)), (60, 80), 0, 0, 360, (210, 170, 150), -1)
    return image


def cuts(pictures: list[Picture]) -> list[int]:
    is_cut = CutDetector()
    return [index for index, picture in enumerate(pictures) if is_cut(thumbnail(picture))]


def test_difference_ignores_exposure_and_contrast() -> None:
    picture = thumbnail(scenery(0))
    assert difference(picture, picture * 0.5 + 20) == pytest.approx(0, abs=1e-5)
    assert difference(picture, -picture) > 0.5


def test_each_cut_is_detected_once() -> None:
    assert cuts([scenery(1)] * 8 + [scenery(2)] * 8 + [scenery(3)] * 3) == [8, 16]


def test_a_cut_between_two_speakers_is_detected() -> None:
    assert cuts([speaker(1, 160, 120)] * 8 + [speaker(2, 160, 120)] * 8) == [8]


def test_a_still_picture_and_a_moving_head_are_not_cuts() -> None:
    assert cuts([scenery(1)] * 10) == []
    nodding = [speaker(1, 160 + 30 * np.sin(k / 3), 120 + 20 * np.sin(k / 2)) for k in range(40)]
    assert cuts(nodding) == []


def test_a_pan_is_not_a_cut() -> None:
    wide = scenery(4, 240, 960)
    assert cuts([np.ascontiguousarray(wide[:, x : x + 320]) for x in range(0, 640, 16)]) == []


@pytest.mark.parametrize(
    "flash",
    [
        lambda x: x + 90,
        lambda x: x * 1.6,
        lambda x: 0 * x + 255,
        lambda x: 0 * x,
        lambda x: 0.3 * x,
        lambda x: np.where(np.arange(240)[:, None, None] < 130, 255, x),
    ],
)
def test_flashes_and_black_frames_are_not_cuts(flash: object) -> None:
    assert callable(flash)
    lit = np.clip(flash(scenery(5).astype(np.float64)), 0, 255).astype(np.uint8)
    assert cuts([scenery(5)] * 6 + [lit] * 2 + [scenery(5)] * 6) == []


def test_a_cut_after_a_black_frame_is_detected() -> None:
    black = np.zeros((240, 320, 3), np.uint8)
    assert cuts([scenery(1)] * 5 + [black] * 3 + [scenery(2)] * 5) == [8]


def test_shaky_footage_is_not_full_of_cuts() -> None:
    """Jolts beyond the reach of the shift, there and back every other frame, of one scene."""
    wide = scenery(6, 240, 480)
    jumping = [np.ascontiguousarray(wide[:, x : x + 320]) for x in [0, 55] * 15]
    assert MIN_DIFFERENCE < difference(thumbnail(jumping[0]), thumbnail(jumping[1])) < 2 * MIN_DIFFERENCE
    assert len(cuts(jumping)) == 1
    assert cuts([*jumping, scenery(7)])[-1] == len(jumping)


def blended(share: float) -> Picture:
    """One scene, with this share of another one."""
    return np.round((1 - share) * scenery(1) + share * scenery(2)).astype(np.uint8)


@cache
def differences() -> tuple[NDArray[np.float64], list[float]]:
    """Shares of another scene, and how much they differ from `scenery(1)`."""
    first, shares = thumbnail(scenery(1)), np.linspace(0, 1, 13)
    return shares, [difference(first, thumbnail(blended(share))) for share in shares]


def differing(wanted: float) -> Picture:
    """A picture that differs by about `wanted` from `scenery(1)`."""
    shares, found = differences()
    return blended(float(np.interp(wanted, found, shares)))


def test_after_a_cut_the_next_one_needs_twice_the_smallest_difference() -> None:
    for change, expected in ((0.25, []), (0.35, [12])):
        assert cuts([scenery(3)] * 8 + [scenery(1)] * 4 + [differing(change)] * 4) == [8, *expected]


def test_a_certain_cut_is_detected_even_in_shaky_footage() -> None:
    shaken = [picture for change in (0.14, 0.26, 0.45) for picture in (scenery(1), differing(change))]
    assert cuts([*shaken, scenery(1), differing(0.6)]) == [7]


@pytest.mark.parametrize("full", [False, True])
def test_a_filmed_picture_has_the_luma_of_its_rgb(full: bool) -> None:
    picture = np.repeat(speaker(1, 160, 120)[..., :1], 3, axis=2)
    filmed = FilmedPicture(RGBToFrame(ColorTags(range=2 if full else 1), 320, 240)(picture))
    assert np.abs(thumbnail(filmed) - thumbnail(picture)).max() <= 2


@pytest.mark.parametrize("shape", [(16, 16), (1080, 1920), (33, 500)])
def test_pictures_of_any_size_are_compared(shape: tuple[int, int]) -> None:
    assert thumbnail(np.zeros((*shape, 3), np.uint8)).shape == (24, 24)


def dissolves(pictures: list[Picture]) -> list[Dissolve]:
    detect = DissolveDetector()
    return [found for picture in pictures if (found := detect(thumbnail(picture)))]


def nodding(seed: int, frames: int) -> list[Picture]:
    return [speaker(seed, 160 + 5 * np.sin(k / 4), 120 + 4 * np.sin(k / 3)) for k in range(frames)]


def dissolved(first: list[Picture], second: list[Picture], length: int) -> list[Picture]:
    """Both films, of which the last and the first `length` frames are mixed."""
    shares = (np.arange(length) + 1) / (length + 1)
    mixed = [
        np.round((1 - share) * before + share * after).astype(np.uint8)
        for share, before, after in zip(shares, first[-length:], second[:length], strict=True)
    ]
    return [*first[:-length], *mixed, *second[length:]]


def faded_in(film: list[Picture], shade: int, length: int) -> list[Picture]:
    """The film after eight pictures of one shade, from which it fades in over `length` frames."""
    shown = [np.round(shade + min(k / length, 1) * (x - float(shade))).astype(np.uint8) for k, x in enumerate(film)]
    return [np.full_like(film[0], shade)] * 8 + shown


def assert_near(found: Dissolve, begin: int, end: int) -> None:
    assert found.begin == pytest.approx(begin, abs=3)
    assert found.middle == pytest.approx((begin + end) / 2, abs=2)
    assert found.end == pytest.approx(end, abs=3)


def dull(film: list[Picture]) -> list[Picture]:
    """The film with little contrast."""
    return [np.round(100 + 0.4 * (picture - 100.0)).astype(np.uint8) for picture in film]


@pytest.mark.parametrize("length", [5, 7, 9, 13, 20, 25, 30, 45, 59])
def test_a_dissolve_between_speakers_is_detected_once_with_its_ends(length: int) -> None:
    (found,) = dissolves(dissolved(nodding(1, 70), nodding(2, 90 + length), length))
    assert_near(found, 69 - length, 70)


@pytest.mark.parametrize(
    ("first", "second"),
    [(nodding(1, 50), dull(nodding(2, 60))), (dull(nodding(1, 50)), nodding(2, 60))],
    ids=["to", "from"],
)
def test_a_dissolve_to_or_from_a_dull_shot_is_detected(first: list[Picture], second: list[Picture]) -> None:
    (found,) = dissolves(dissolved(first, second, 12))
    assert_near(found, 37, 50)


@pytest.mark.parametrize("length", [12, 25, 40])
def test_both_dissolves_of_a_short_shot_are_detected(length: int) -> None:
    film = dissolved(nodding(1, 60 + length), nodding(2, 2 * length + 20), length)
    first, second = dissolves(dissolved(film, nodding(1, 60 + length), length))
    assert_near(first, 59, 60 + length)
    assert_near(second, 79 + length, 80 + 2 * length)


@pytest.mark.parametrize(
    "film",
    [
        nodding(1, 80),
        nodding(1, 40) + nodding(2, 40),
        [np.ascontiguousarray(scenery(4, 240, 960)[:, x : x + 320]) for x in range(0, 640, 8)],
        [cv2.resize(scenery(1)[k : 240 - k, k : 320 - k], (320, 240)) for k in range(80)],
        [speaker(1, -80 + 5 * k, 120) for k in range(90)],
        [np.clip(scenery(1) * (1 - k / 80), 0, 255).astype(np.uint8) for k in range(80)],
        [np.clip(scenery(1) * (1 - k / 30), 0, 255).astype(np.uint8) for k in range(31)] + [scenery(2)] * 20,
        [np.clip(scenery(1) + k * 255 / 30, 0, 255).astype(np.uint8) for k in range(31)] + [scenery(2)] * 20,
        faded_in(nodding(1, 60), 0, 8),
        faded_in(nodding(1, 60), 255, 8),
        faded_in([face_at(k / 25) for k in range(60)], 0, 12),
        [scenery(1)] * 20 + [np.clip(scenery(1) * 1.3, 0, 255).astype(np.uint8)] * 20,
        [np.random.default_rng(k).integers(0, 256, (240, 320, 3), np.uint8) for k in range(40)],
    ],
    ids=[
        "nod",
        "cut",
        "pan",
        "zoom",
        "entry",
        "fade",
        "to-black",
        "to-white",
        "from-black",
        "from-white",
        "face-from-black",
        "light",
        "noise",
    ],
)
def test_other_changes_are_no_dissolves(film: list[Picture]) -> None:
    assert dissolves(film) == []


def test_a_dissolve_does_not_reach_back_before_a_restart() -> None:
    film = [thumbnail(picture) for picture in dissolved(nodding(1, 40), nodding(2, 40), 12)]
    detect = DissolveDetector()
    for number, small in enumerate(film):
        if number == 34:
            detect.restart()
        found = detect(small)
        assert found is None or found.begin >= 34


def changed_columns(changes: Changes, picture: Thumbnail, aside: list[Square]) -> list[int]:
    """Which of six columns of a picture of 480 x 240 have changed; they are looked at."""
    has_changed = changes.look(picture, aside, 240, 480)
    changes.remember()
    return [column for column in range(6) if has_changed(Square(80 * column + 40, 120, 78))]


def test_changes_are_reported_where_they_are_until_somebody_has_looked() -> None:
    changes, picture, changed = Changes(), thumbnail(scenery(0)), thumbnail(scenery(0))
    assert changed_columns(changes, picture, []) == [0, 1, 2, 3, 4, 5]
    assert changed_columns(changes, picture, []) == []
    changed[12, 9] += 10
    changes.look(changed, [], 240, 480)
    assert changed_columns(changes, changed, []) == [2]
    assert changed_columns(changes, changed, []) == []


def test_noise_is_no_change_and_a_slow_change_is_one() -> None:
    changes, picture, random = Changes(), thumbnail(scenery(0)), np.random.default_rng(0)
    changed_columns(changes, picture, [])
    noisy = [picture + random.normal(0, 0.6, picture.shape).astype(np.float32) for _ in range(20)]
    assert not any(changes.look(one, [], 240, 480)(Square(240, 120, 480)) for one in noisy)
    brighter = [picture + np.float32(level) for level in (1, 2, 3)]
    assert [len(changed_columns(changes, one, [])) for one in brighter] == [0, 0, 6]


def test_what_changes_aside_counts_when_it_is_no_longer_aside() -> None:
    changes, picture, face = Changes(), thumbnail(scenery(0)), Square(240, 120, 160)
    changed_columns(changes, picture, [])
    assert changed_columns(changes, picture + 10, [face]) == [0, 1, 4, 5]
    assert changed_columns(changes, picture + 10, []) == [2, 3]
