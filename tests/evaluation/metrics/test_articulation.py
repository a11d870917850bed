"""Articulation figures of synthetic lips against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.evaluation.metrics.articulation import (
    LipTrack,
    Utterance,
    against_real,
    articulation,
    closeness,
    eye_distance,
    gap,
    in_spans,
    joined,
    long_runs,
    loudness,
    loudness_gap,
    shape_variance,
    silent_deviation,
)

RATE = 16000
UPPER, LOWER = np.arange(21, 30), np.arange(31, 40)


def track(*openings: float, eyes: float = 40.0) -> LipTrack:
    """Return a track whose inner lips are that many pixels apart, at all nine points."""
    lips = np.zeros((len(openings), 40, 2), np.float32)
    lips[:, LOWER, 1] = np.array(openings)[:, None]
    return LipTrack(lips, np.full(len(openings), eyes), np.arange(len(openings)) / 25)


def test_the_distance_of_the_eyes_is_in_pixels_at_128() -> None:
    meshes = np.zeros((1, 478, 2), np.float32)
    meshes[0, 33], meshes[0, 263] = (0.25, 0.25), (0.625, 0.75)
    assert eye_distance(meshes) == pytest.approx(128 * np.hypot(0.375, 0.5))


def test_the_gap_is_the_mean_of_nine_gaps_over_the_distance_of_the_eyes() -> None:
    one = track(2.0, 6.0)
    one.lips[1, LOWER[0], 1] = 15.0  # (8 * 6 + 15) / 9 = 7
    np.testing.assert_allclose(gap(one), [2 / 40, 7 / 40])


def test_resting_lips_have_zero_deviation_and_only_long_silences_count() -> None:
    times = np.arange(20) / 25
    silent = np.zeros(20, np.bool_)
    silent[:8] = silent[10:16] = True  # 0.32 s and 0.24 s
    opening = np.array([1, 1, 1, 1, 3, 3, 5, 1, *[9.0] * 12])
    # The mean of the first eight is 2; they are 1, 1, 1, 1, 1, 1, 3 and 1 away.
    assert silent_deviation(opening, times, silent) == pytest.approx(1.0)
    assert silent_deviation(np.ones(20), times, silent) == 0
    assert np.isnan(silent_deviation(opening, times, ~silent & (times < 0.5)))


def test_a_silence_ends_where_the_film_jumps() -> None:
    times = np.concatenate([np.arange(6), 100 + np.arange(8)]) / 25
    np.testing.assert_array_equal(long_runs(times, np.ones(14, np.bool_)), [False] * 6 + [True] * 8)


def test_opening_and_loudness_are_normalized_over_speech() -> None:
    opening, level = np.array([9.0, 2.0, 4.0, 6.0]), np.array([7.0, 0.0, 0.25, 1.0])
    speaking = np.array([False, True, True, True])
    # 0, 1/2, 1 beside 0, 1/4, 1.
    assert loudness_gap(opening, level, speaking) == pytest.approx(0.25 / 3, abs=1e-6)
    assert np.isnan(loudness_gap(np.ones(30), np.ones(30), np.arange(30) < 2))


def test_loudness_is_the_rms_of_twentieths_of_a_second() -> None:
    wave = np.concatenate([np.full(800, 0.2), np.full(800, -0.6), np.full(400, 0.6)]).astype(np.float32)
    # The last twentieth is half complete; a time midway between two middles gets their mean.
    expected = [0.2, 0.4, 0.6, 0.6 / np.sqrt(2)]
    np.testing.assert_allclose(loudness(wave, np.array([0.0, 0.05, 0.075, 1.0])), expected, rtol=1e-5)
    assert loudness(np.zeros(0, np.float32), np.array([0.0])) == 0


def test_shape_variance_is_the_variance_of_point_distances() -> None:
    # Of 780 pairs, 9 points against 31 change from 2 to 6 pixels: 279 distances of variance 4, over 40 pixels.
    assert shape_variance(track(2.0, 6.0)) == pytest.approx(279 * 4 / 40**2 / 780)
    assert shape_variance(track(3.0, 3.0)) == 0


def test_in_spans_marks_times_within_spans() -> None:
    found = in_spans(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]), [(0.5, 1.0), (2.0, 2.2)])
    np.testing.assert_array_equal(found, [False, True, True, False, True, False])
    assert not in_spans(np.array([1.0]), []).any()


def test_figures_depend_on_the_available_phonemes_and_spans() -> None:
    # Shut in frame 5 alone; m at frame 5, b at frame 15, an open vowel at frame 12.
    one = track(*[3.0] * 5, 0.5, *[3.0] * 14)
    wave = np.zeros(RATE, np.float32)
    assert articulation(one, None).keys() == {"theval.shape_variance"}
    said = articulation(one, Utterance(wave, phonemes=[("m", 0.2), ("æ", 0.48), ("b", 0.6)]))
    assert (said["closure"], said["closure_events"], said["closure_open"]) == (0.5, 2, 0.0)
    assert "theval.loudness_gap" not in said
    heard = articulation(one, Utterance(wave, spans=[(0.3, 0.8)]))
    # Frames 0 to 7 are silent: one of eight is 2.5 px narrower than the rest, which are 2.5 / 8 from the mean.
    assert heard["theval.silent_deviation"] == pytest.approx(2.5 / 8 / 40)
    assert heard["theval.loudness_gap"] == 0  # neither moves


def test_the_opening_is_compared_with_that_of_the_real_film() -> None:
    real = track(0.0, 2.0, 4.0, 6.0)
    figures = against_real(track(0.0, 1.0, 2.0, 3.0), real)
    assert figures == pytest.approx({"opening_r": 1.0, "amplitude": 0.5})
    assert against_real(track(6.0, 4.0, 2.0, 0.0), real)["opening_r"] == pytest.approx(-1.0)


def test_closeness_is_one_less_the_relative_difference() -> None:
    real = {"theval.silent_deviation": 0.02, "theval.loudness_gap": 0.4, "theval.shape_variance": 0.0}
    made = {"theval.silent_deviation": 0.03, "theval.loudness_gap": 0.4, "theval.shape_variance": 0.1}
    assert closeness(made, real) == pytest.approx({"theval.silent_stability": 0.5, "theval.lip_sync": 1.0})
    assert closeness({}, real) == {}


def test_pieces_are_joined_into_one_track() -> None:
    whole = joined([track(1.0, 2.0), track(3.0)])
    assert gap(whole) * 40 == pytest.approx(np.array([1.0, 2.0, 3.0]))
    assert whole.times.shape == (3,)


def test_content_contains_the_lips_in_crop_units() -> None:
    content: NDArray[np.float32] = track(64.0).content
    assert content.shape == (1, 57, 2)
    assert not content[:, :17].any()
    assert (content[:, 17 + LOWER, 1] == 0.5).all()
