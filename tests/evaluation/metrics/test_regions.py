"""Windows of face and mouth follow the landmarks and keep one size in a clip; flicker measures jumps."""

from __future__ import annotations

import numpy as np
import pytest

from lipsmith.evaluation.metrics.judge import SpeechTrack
from lipsmith.evaluation.metrics.regions import FACE, MOUTH, cut, flicker, windows
from lipsmith.evaluation.scoring import Networks, RealStretch, Scorer
from lipsmith.evaluation.totals import totals
from lipsmith.face import FaceMesh
from lipsmith.face.landmarks import JAW, OUTER_LIP, ranks


def face(x: float = 0.5) -> np.ndarray:
    """Return 131 points with a jaw from 0.2 to 0.8 around `x` and lips a third as wide; the others do not matter."""
    points = np.full((131, 2), 0.5, np.float32)
    for chosen, width, top, bottom in ((ranks(JAW), 0.6, 0.5, 0.95), (ranks(OUTER_LIP), 0.19, 0.7, 0.799)):
        points[chosen, 0] = np.linspace(x - width / 2, x + width / 2, len(chosen))
        points[chosen, 1] = np.linspace(top, bottom, len(chosen))
    return points


def test_windows_contain_the_region_within_the_lower_half_and_follow_it() -> None:
    points = np.stack([face(), face(0.55)])
    (rows, columns), (_, moved) = windows(points, MOUTH, 400)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (
        52,
        99,
    )  # 0.099 and 0.19 of 400, 1.3 times, rounded up
    assert (rows.start, columns.start, moved.start - columns.start) == (274, 150, 20)
    (rows, columns), _ = windows(points, FACE, 400)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (200, 380, 80, 320)
    (rows, _), _ = windows(points - np.array([0, 0.3], np.float32), MOUTH, 400)
    assert (rows.start, rows.stop) == (200, 252)


def test_the_window_of_a_face_contains_lips_that_rise_above_the_jaw() -> None:
    """As of a face that is turned up; a fault of its upper lip would not count otherwise."""
    turned = face()
    turned[ranks(JAW), 1] = np.linspace(0.75, 0.95, len(JAW))
    ((rows, columns),) = windows(turned[None], FACE, 400)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (280, 380, 80, 320)


def test_windows_of_small_regions_are_large_enough_for_networks() -> None:
    ((rows, columns),) = windows(face()[None], MOUTH, 64)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (32, 32)
    assert rows.start >= 32


def test_a_window_has_one_size_in_a_clip_and_stays_within_the_crop() -> None:
    """Of a mouth that opens and leaves: the size is that of the widest mouth."""
    points = np.stack([face(), face(0.02), face(0.98)])
    points[1:, ranks(OUTER_LIP), 1] = np.linspace(0.7, 0.98, len(OUTER_LIP))
    found = windows(points, MOUTH, 400)
    assert {(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in found} == {(146, 99)}
    assert [columns.start for _, columns in found] == [150, 0, 301]
    assert [rows.stop for rows, _ in found][1:] == [400, 400]
    ((rows, columns),) = windows(np.stack([face()]) * 2 - np.float32(0.5), FACE, 128)  # larger than the crop
    assert (rows, columns) == (slice(64, 128), slice(0, 128))


def test_cut_returns_the_windows() -> None:
    crops = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    parts = cut(crops, [(slice(4, 6), slice(1, 4)), (slice(5, 7), slice(0, 3))])
    assert np.array_equal(parts[1], crops[1, 5:7, 0:3])


def test_flicker_is_zero_for_steady_motion_and_counts_jumps() -> None:
    steady = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30, 40)])
    assert flicker(steady) == 0
    jumping = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (10, 30, 10, 30)])
    assert flicker(jumping) == pytest.approx(20)
    assert flicker(steady[:2]) == 0


def test_a_frozen_real_film_leaves_the_flicker_unknown() -> None:
    real = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3)).astype(np.uint8).repeat(4, 0)
    made = real.copy()
    made[1] //= 2
    silence, lips = np.zeros((80, 0), np.float32), np.zeros((4, 40, 2), np.float32)
    shown = RealStretch(real, np.full((4, 478, 2), 0.5, np.float32), np.arange(4) / 25, SpeechTrack(silence))
    scorer = Scorer(Networks(FaceMesh(), None, None, None, None, {}), regions=True)
    row = scorer.score(shown, {"made": made}, {"real": lips, "made": lips})["made"]
    assert np.isnan(row["face.flicker"])
    assert np.isnan(row["mouth.flicker"])
    assert 0.8 < row["face.sharpness"] < 1
    assert "face.flicker" not in totals([row | {"system": "made"}], "made")
