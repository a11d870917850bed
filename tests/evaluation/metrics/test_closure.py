"""Closures of lips at phonemes, for events written by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.evaluation.metrics.closure import closures, events, pooled
from lipsmith.face.landmarks import CONTENT

TIMES = np.arange(30) / 25
ALL = np.ones(30, np.bool_)


def mouth(shut: list[int]) -> NDArray[np.float32]:
    """Return `(30, 57, 2)`: open by 1.1 pixels of 128, but by 0.9 in the frames `shut`."""
    content = np.zeros((30, 57, 2), np.float32)
    content[:, CONTENT.index(14), 1] = 1.1 / 128
    content[shut, CONTENT.index(14), 1] = 0.9 / 128
    return content


def test_lips_touch_within_two_frames_of_a_phoneme() -> None:
    said = [("m", 0.4), ("p", 0.8)]  # frames 10 and 20
    assert closures(mouth([12]), TIMES, ALL, said)["closure"] == 0.5
    assert closures(mouth([13]), TIMES, ALL, said)["closure"] == 0.0
    assert closures(mouth([8, 22]), TIMES, ALL, said)["closure"] == 1.0


def test_each_phoneme_group_has_a_figure() -> None:
    said = [("b", 0.2), ("v", 0.4), ("æ", 0.6), ("s", 0.8)]
    assert events(TIMES, ALL, said) == {"closure_events": 1, "closure_fv_events": 1, "closure_open_events": 1}
    found = closures(mouth([10, 15]), TIMES, ALL, said)
    assert found == {"closure": 0.0, "closure_fv": 1.0, "closure_open": 1.0}


def test_only_counted_frames_are_measured() -> None:
    late = TIMES >= 0.4
    assert events(TIMES, late, [("m", 0.36), ("m", 0.4), ("m", 1.3)])["closure_events"] == 1
    assert closures(mouth([9]), TIMES, late, [("m", 0.4)])["closure"] == 0.0
    assert math.isnan(closures(mouth([9]), TIMES, late, [("m", 0.36)])["closure"])


def test_all_phonemes_of_a_split_have_equal_weight() -> None:
    rows = [
        {"closure": 1.0, "truth.closure": 1.0, "closure_events": 1.0, "opening_r": 0.5},
        {"closure": 0.0, "truth.closure": 1.0, "closure_events": 3.0, "opening_r": 0.5},
        {"closure": float("nan"), "truth.closure": float("nan"), "closure_events": 0.0, "opening_r": 0.5},
        {"opening_r": 0.5},
    ]
    assert pooled(rows) == pytest.approx({"closure": 0.25, "truth.closure": 1.0, "closure_events": 4.0})
    assert pooled(rows[2:]) == {}
