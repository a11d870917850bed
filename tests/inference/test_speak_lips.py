"""Lips driven from rest, the references' mean in the head's pose; lips that never cross; lips closed in silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.face.landmarks import NUM_CONTENT, NUM_JAW, NUM_POINTS, NUM_POSE, lip_opening, ranks
from lipsmith.inference.speak import close_lips, driven, rest, resting_opening, uncrossed, with_jaw_ends, with_strength

LOWER_LIP = ranks((14, 87, 317, 17, 84, 314))


def faces(*openings: float) -> NDArray[np.float32]:
    """One face `(F, 131, 2)` whose lower lip is lowered by `openings`."""
    points = np.random.default_rng(0).uniform(0.2, 0.8, (NUM_POINTS, 2))
    points[ranks((78, 308))] = (0.4, 0.7), (0.6, 0.7)
    for upper, lower in ((13, 14), (82, 87), (312, 317)):
        points[ranks((upper, lower))] = 0.5, 0.7
    found = np.repeat(points[None], len(openings), 0)
    found[:, LOWER_LIP, 1] += np.array(openings)[:, None]
    return found.astype(np.float32)


def test_strength_one_changes_nothing() -> None:
    points = faces(0.01, 0.05)
    assert np.array_equal(with_strength(points, faces(0.02), 1.0), points[:, NUM_POSE:])


@pytest.mark.parametrize(("strength", "opening"), [(0.0, 0.04), (0.5, 0.06), (1.5, 0.10), (2.0, 0.12)])
def test_strength_scales_the_distance_from_rest(strength: float, opening: float) -> None:
    points, references = faces(0.08), faces(0.02, 0.06)
    found = np.concatenate([points[:, :NUM_POSE], with_strength(points, references, strength)], 1)
    assert lip_opening(found)[0] == pytest.approx(opening, abs=1e-5)


@given(st.floats(-0.6, 0.6), st.floats(0.7, 1.3), st.floats(-0.1, 0.1))
def test_rest_turns_grows_and_moves_with_the_head(turn: float, scale: float, shift: float) -> None:
    references = faces(0.02, 0.06)
    linear = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), 1.1 * np.cos(turn)]])
    points = (references[:1] @ linear + shift).astype(np.float32)
    expected = references.mean(0)[NUM_POSE:] @ linear + shift
    np.testing.assert_allclose(rest(points, references)[0], expected, atol=1e-4)


def test_crossed_lips_meet_halfway() -> None:
    # At rest 0.06 open and asked shut: twice the way would put the lower lip 0.06 above the upper one.
    points = faces(0.0)
    found = np.concatenate([points[:, :NUM_POSE], with_strength(points, faces(0.06), 2.0)], 1)
    assert lip_opening(found)[0] == pytest.approx(0, abs=1e-6)
    assert found[0, ranks((13,))[0], 1] == pytest.approx(0.67, abs=1e-5)


def asked_opening(opening: float) -> float:
    """Opening asked of the renderer for a mouth that is predicted `opening` wide."""
    points = faces(opening)
    found = np.concatenate([points[:, :NUM_POSE], driven(points, faces(0.02, 0.06), 1.0)], 1)
    return float(lip_opening(found)[0])


@pytest.mark.parametrize(("predicted", "asked"), [(0.0, 0.0), (0.0035, 0.00077), (0.007, 0.00442), (0.02, 0.02)])
def test_lips_that_nearly_touch_are_closed_further(predicted: float, asked: float) -> None:
    assert asked_opening(predicted) == pytest.approx(asked, abs=1e-5)


@given(st.lists(st.floats(0, 0.03), min_size=2, max_size=2, unique=True))
def test_wider_mouths_stay_wider(openings: list[float]) -> None:
    narrow, wide = sorted(openings)
    assert asked_opening(narrow) <= asked_opening(wide) + 1e-6


def test_lips_meet_halfway_across_the_mouth_however_it_is_turned() -> None:
    content = np.zeros((2, NUM_CONTENT, 2), np.float32)
    inner = NUM_CONTENT - 20
    content[:, inner, 0], content[:, inner + 10, 0] = -0.1, 0.1
    content[:, inner + 15, 1] = 0.02, -0.02
    parted = uncrossed(content)
    np.testing.assert_allclose(parted[:, [inner + 5, inner + 15], 1], [[0, 0.02], [-0.01, -0.01]], atol=1e-7)
    quarter = np.array([[0, 1], [-1, 0]], np.float32)
    np.testing.assert_allclose(uncrossed(content @ quarter), parted @ quarter, atol=1e-7)
    assert np.array_equal(parted[0], content[0])


def mouth(opening: float) -> NDArray[np.float32]:
    content = np.zeros((1, NUM_CONTENT, 2), np.float32)
    lower = 20 - np.arange(1, 10)
    for begin in (NUM_JAW, NUM_JAW + 20):
        content[0, begin + lower, 1] = opening * (1 - np.linspace(-0.9, 0.9, 9) ** 2)
    content[0, :NUM_JAW, 1] = 1
    return content


def test_lips_close_and_the_chin_rises_with_them() -> None:
    closed = close_lips(mouth(0.1), np.ones(1), 0.0)
    upper, lower = NUM_JAW + 20 + 5, NUM_JAW + 20 + 15
    assert closed[0, lower, 1] == pytest.approx(closed[0, upper, 1], abs=1e-6)
    assert closed[0, upper, 1] == pytest.approx(0.025)
    assert closed[0, 8, 1] == pytest.approx(1 - 0.075)
    assert closed[0, 0, 1] == pytest.approx(1)


def test_lips_close_to_the_resting_opening_and_never_open() -> None:
    upper, lower = NUM_JAW + 20 + 5, NUM_JAW + 20 + 15
    closed = close_lips(mouth(0.1), np.ones(1), 0.04)
    assert closed[0, lower, 1] - closed[0, upper, 1] == pytest.approx(0.04, abs=1e-6)
    assert (close_lips(mouth(0.02), np.ones(1), 0.04) == mouth(0.02)).all()
    assert (close_lips(mouth(0.1), np.zeros(1), 0.0) == mouth(0.1)).all()


def test_resting_opening_is_that_of_the_most_closed_references() -> None:
    points = np.zeros((11, NUM_POINTS, 2))
    points[:, -20 + 15, 1] = np.linspace(0, 0.1, 11)
    assert resting_opening(points) == pytest.approx(0.01)


def test_a_jaw_is_moved_sideways_to_the_ends_that_are_filmed() -> None:
    content, filmed = np.zeros((2, 1, NUM_CONTENT, 2), np.float32)
    content[0, :NUM_JAW, 0] = np.linspace(0.1, 0.9, NUM_JAW)
    filmed[0, 0], filmed[0, NUM_JAW - 1] = (0.2, 0.3), (0.8, 0.3)
    found = with_jaw_ends(content, filmed)
    assert found[0, :NUM_JAW, 0] == pytest.approx(np.linspace(0.2, 0.8, NUM_JAW), abs=1e-6)
    assert (found[0, NUM_JAW:] == 0).all()
    assert found[..., 1] == pytest.approx(0, abs=1e-6)


def test_sideways_is_from_one_filmed_end_to_the_other() -> None:
    content, filmed = np.zeros((2, 1, NUM_CONTENT, 2), np.float32)
    filmed[0, 0], filmed[0, NUM_JAW - 1] = (0, 0.2), (0, 0.6)  # the head lies on its side
    found = with_jaw_ends(content + np.float32(0.1), filmed)
    assert found[0, [0, 8, NUM_JAW - 1]] == pytest.approx(np.array([(0.1, 0.2), (0.1, 0.4), (0.1, 0.6)]), abs=1e-6)
