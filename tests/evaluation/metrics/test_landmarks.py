"""Figures of predicted landmarks against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.evaluation.metrics.landmarks import (
    amplitude,
    correlation,
    inner_opening,
    jitter,
    jitter_ratio,
    l1_percent,
    landmark_figures,
    lip_lmd,
    opening_r,
    redetect,
)
from lipsmith.face import FaceMesh, FaceTracker
from lipsmith.face.landmarks import CONTENT, NUM_CONTENT, NUM_JAW
from synthetic import face_at

Floats = NDArray[np.float32]
UPPER, LOWER = CONTENT.index(13), CONTENT.index(14)


def mouth(*openings: float) -> Floats:
    content = np.full((len(openings), NUM_CONTENT, 2), 0.5, np.float32)
    content[:, LOWER, 1] += np.array(openings, np.float32)
    return content


def test_position_errors_are_in_percent_and_pixels() -> None:
    truth = mouth(0.1, 0.2, 0.3)
    moved = truth + np.array([0.03, -0.04], np.float32)
    assert l1_percent(moved, truth) == pytest.approx(3.5, rel=1e-4)
    assert landmark_figures(moved, truth)["lip_lmd"] == pytest.approx(0.05 * 128, rel=1e-4)


def test_lip_lmd_ignores_the_jaw() -> None:
    truth = mouth(0.1, 0.2)
    moved = truth.copy()
    moved[:, :NUM_JAW] += 1
    assert landmark_figures(moved, truth)["lip_lmd"] == 0.0
    assert l1_percent(moved, truth) == pytest.approx(100 * NUM_JAW / NUM_CONTENT, rel=1e-5)


def test_opening_is_the_distance_of_the_inner_lips_middles() -> None:
    np.testing.assert_allclose(inner_opening(mouth(0.0, 0.25)), [0, 0.25], atol=1e-6)


def test_r_by_hand() -> None:
    # Deviations (-1, 0, 1) and (-1, 1, 0): 1 / sqrt(2 * 2).
    assert correlation(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 1.0])) == pytest.approx(0.5)
    assert correlation(np.ones(3), np.arange(3.0)) == 0.0
    assert opening_r(mouth(0.1, 0.2, 0.3), mouth(0.3, 0.2, 0.1)) == pytest.approx(-1.0, rel=1e-5)


def test_amplitude_is_the_ratio_of_standard_deviations() -> None:
    assert amplitude(mouth(0.2, 0.3, 0.2), mouth(0.1, 0.3, 0.1)) == pytest.approx(0.5, rel=1e-4)
    assert np.isnan(amplitude(mouth(0.1, 0.2), mouth(0.2, 0.203)))


def test_the_amplitude_of_a_still_prediction_is_zero() -> None:
    """Such as of the mean of the references, whose opening is no round number."""
    still = mouth(*[0.01] * 7)
    still[:, LOWER, 0] += 0.01
    assert amplitude(still, mouth(*np.linspace(0.1, 0.3, 7))) == 0


def test_jitter_ratio_is_the_ratio_of_second_differences() -> None:
    straight, bent, twice = mouth(0.1, 0.2, 0.3), mouth(0.1, 0.2, 0.1), mouth(0.1, 0.3, 0.1)
    assert jitter_ratio(twice, bent) == pytest.approx(2.0, rel=1e-4)
    assert jitter_ratio(straight, bent) == pytest.approx(0.0, abs=1e-5)
    assert np.isnan(jitter_ratio(bent[:2], bent[:2]))
    assert np.isnan(jitter_ratio(bent, mouth(0.2, 0.2, 0.2)))


def test_truth_against_itself_is_perfect() -> None:
    truth = mouth(0.1, 0.2, 0.15, 0.3)
    figures = landmark_figures(truth, truth)
    wanted = {"l1_percent": 0.0, "lip_lmd": 0.0, "opening_r": 1.0, "amplitude": 1.0, "jitter_ratio": 1.0}
    assert figures == pytest.approx(wanted)


def test_lip_lmd_and_jitter_by_hand() -> None:
    still = np.zeros((4, 40, 2), np.float32)
    moved = still + np.array([3, 4], np.float32)
    np.testing.assert_allclose(lip_lmd(moved, still), [5, 5, 5, 5])
    steady = still + np.arange(4, dtype=np.float32)[:, None, None]
    trembling = still + np.array([0, 1, 0, 1], np.float32)[:, None, None] * np.array([1, 0], np.float32)
    assert jitter(steady) == 0
    assert jitter(trembling) == 2
    assert np.isnan(jitter(still[:2]))


def test_moved_lips_are_detected_at_their_new_position() -> None:
    picture = face_at(0.0, (256, 256))
    mesh = FaceTracker().track(picture).faces[0].mesh[None] / 256
    here, there = (redetect(FaceMesh(), crops, mesh) for crops in (picture[None], np.roll(picture[None], 4, axis=2)))
    np.testing.assert_allclose((there - here).mean((0, 1)), [2, 0], atol=0.5)
    assert lip_lmd(here, here)[0] == 0
    assert lip_lmd(there, here)[0] > 1
