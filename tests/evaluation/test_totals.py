"""Totals and their intervals: unknown figures are skipped, and people are resampled, not clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipsmith.evaluation.totals import _medians, interval, intervals, sample, totals


def test_totals_skip_unknown_figures() -> None:
    rows = [
        {"system": "a", "psnr": 30.0, "csim": float("nan")},
        {"system": "a", "psnr": 32.0},
        {"system": "b", "psnr": 1.0},
    ]
    assert totals(rows, "a") == {"psnr": 31.0}


def test_obedience_is_a_median_over_clips_and_shut_is_a_share_of_all_frames() -> None:
    rows = [
        {"system": "a", "obedience.slope": slope, "obedience.shut": shut, "obedience.asked_shut": frames}
        for slope, shut, frames in (
            (0.5, 1.0, 30.0),
            (0.9, 0.0, 10.0),
            (float("nan"), float("nan"), 0.0),
            (9.0, 1.0, 0.0),
        )
    ]
    assert totals(rows[:3], "a") == {"obedience.slope": 0.7, "obedience.shut": 0.75}
    assert totals([rows[0], rows[1], rows[3]], "a")["obedience.slope"] == 0.9


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_median_of_repeated_values_is_that_of_all_of_them(repeated: list[tuple[float, int]]) -> None:
    values, times = (np.array(column) for column in zip(*repeated, (0.5, 1), strict=True))
    assert _medians(values, times[None]) == pytest.approx(np.median(np.repeat(values, times)))


def test_an_interval_of_a_median_is_robust_to_one_outlier() -> None:
    values, people = np.array([-1000.0, *[1.0] * 40, 1000.0]), np.arange(42).astype(str)
    assert interval(values, people, median=True) == (1.0, 1.0)
    assert interval(values, people)[1] > 40


def test_an_interval_of_a_weighted_mean_gives_short_clips_little_weight() -> None:
    values, weights = np.array([0.0, 0.0, 1.0]), np.array([100.0, 100.0, 1e-9])
    assert interval(values, np.array(["a", "b", "c"]), weights=weights)[0] == 0
    drawn_alone = interval(np.array([0.0, 1.0]), np.array(["a", "b"]), weights=np.array([3.0, 1.0]))
    assert drawn_alone == (0.0, 1.0)


def test_equal_values_of_people_with_more_and_fewer_clips_have_no_spread() -> None:
    assert interval(np.full(6, 0.5), np.array([*"aaaabc"])) == (0.5, 0.5)


def test_one_person_has_no_interval() -> None:
    rows = [
        {"system": system, "identity": who, "psnr": value}
        for system, who, value in (("x", "p", 30.0), ("x", "p", 31.0), ("y", "p", 20.0), ("y", "q", 21.0))
    ]
    assert intervals(rows, "x") == {}
    assert intervals(rows, "y") == {"psnr": (20.0, 21.0)}


def test_intervals_resample_people_not_clips() -> None:
    """A hundred clips of two people are two observations."""
    values = np.array([0.0] * 50 + [1.0] * 50)
    two = interval(values, np.array(["a"] * 50 + ["b"] * 50))
    many = interval(values, np.arange(100).astype(str))
    assert two == (0, 1)
    assert 0.35 < many[0] < 0.5 < many[1] < 0.65


def test_a_sample_counts_each_clip_and_person_once() -> None:
    rows = [{"clip": clip, "identity": who, "system": system} for clip, who in ("ax", "bx", "cy") for system in "rs"]
    assert sample(rows) == "3 clips of 2 people"
    assert sample(rows[:2]) == "1 clip of 1 person"
