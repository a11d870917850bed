"""A whole recording through overlapping windows, at any frame rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.inference.backend import Precision
from lipsmith.inference.speak import (
    grid,
    overlap_average,
    predict_content,
    predict_in_pieces,
    resample,
    triangle,
    uncrossed,
    window_starts,
)
from lipsmith.speech.mel import MEL_LIMIT, MEL_RATE

Floats = NDArray[np.float32]


class Echo:
    """Stages whose token is the last step heard of the lowest band, and whose content is `pose` plus that token."""

    precision: Precision = "float"

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, tuple[int, ...]]]] = []

    def __call__(self, stage: str, /, **inputs: Floats) -> tuple[Floats, ...]:
        self.calls.append((stage, {name: value.shape for name, value in inputs.items()}))
        if stage == "speech":
            return (inputs["mel"][:, 0, 0, -1:],)
        return (inputs["pose"][:, :, :57] + inputs["tokens"][..., None],)


def silent(seconds: float) -> Floats:
    return np.full((80, int(seconds * MEL_RATE) + 20), -MEL_LIMIT, np.float32)


def frame_times(frames: int, fps: float) -> NDArray[np.float64]:
    return np.arange(frames) / fps


def still(frames: int, value: float) -> Floats:
    return np.full((frames, 74, 2), value, np.float32)


REFERENCES = np.zeros((3, 131, 2), np.float32)


@given(st.integers(1, 90), st.sampled_from([12.0, 23.976, 25.0, 29.97, 60.0]), st.integers(1, 30))
def test_constant_content_stays_constant(frames: int, fps: float, window: int) -> None:
    times = frame_times(frames, fps)
    content = predict_content(Echo(), silent(10), times, still(frames, 0.5), REFERENCES, window)
    assert content.shape == (frames, 57, 2)
    assert content.dtype == np.float32
    np.testing.assert_allclose(content, 0.5 - MEL_LIMIT, atol=1e-5)


@pytest.mark.parametrize("fps", [25.0, 30.0, 50.0])
def test_a_moving_head_is_followed_at_any_rate(fps: float) -> None:
    times = frame_times(int(2 * fps), fps)
    sway = 0.5 + 0.05 * np.sin(2 * np.pi * times)
    pose = np.broadcast_to(sway[:, None, None], (len(times), 74, 2)).astype(np.float32)
    content = predict_content(Echo(), silent(3), times, pose, REFERENCES, 9) + MEL_LIMIT
    # Up to the last tick at 25 a second; what is after it is held.
    inside = times <= times[-1] - 1 / 25
    np.testing.assert_allclose(content[inside, 0, 0], sway[inside], atol=1e-3)


def test_stages_are_called_by_name_and_speech_once_per_frame() -> None:
    echo = Echo()
    predict_content(echo, silent(2), frame_times(40, 25), still(40, 0.5), REFERENCES, 15)
    # Windows of 15 frames every 7, the last one flush with the end: 0, 7, 14, 21, 25.
    seen = {"tokens": (5, 15, 1), "pose": (5, 15, 74, 2), "references": (5, 3, 131, 2)}
    assert echo.calls == [("speech", {"mel": (8, 1, 80, 16)})] * 5 + [("landmarks", seen)]


def test_short_footage_is_one_shorter_window() -> None:
    echo = Echo()
    content = predict_content(echo, silent(1), frame_times(4, 25), still(4, 0.5), REFERENCES, 25)
    assert content.shape == (4, 57, 2)
    assert echo.calls[1][1]["pose"] == (1, 4, 74, 2)


def test_a_long_recording_runs_in_batches_none_of_which_has_one_row() -> None:
    echo = Echo()
    content = predict_content(echo, silent(30), frame_times(697, 25), still(697, 0.5), REFERENCES, 4)
    assert content.shape == (697, 57, 2)
    heard = [shapes["mel"][0] for name, shapes in echo.calls if name == "speech"]
    assert sum(heard) == 697
    windows = [shapes["pose"][0] for name, shapes in echo.calls if name == "landmarks"]
    assert all(1 < rows <= 8 for rows in heard + windows)


def test_later_times_use_later_speech() -> None:
    mel = silent(4)
    mel[:, int(2 * MEL_RATE) :] = 0.0
    quiet = predict_content(Echo(), mel, frame_times(20, 25), still(20, 0.0), REFERENCES, 5)
    loud = predict_content(Echo(), mel, 2.5 + frame_times(20, 25), still(20, 0.0), REFERENCES, 5)
    assert quiet.max() == pytest.approx(-MEL_LIMIT)
    assert loud.min() == pytest.approx(0.0)


def test_a_long_run_in_pieces_equals_the_whole() -> None:
    times, random = frame_times(450, 25), np.random.default_rng(0)
    pose = np.repeat(random.random((9, 74, 2)), 50, 0).astype(np.float32)
    mel, found = silent(20), np.zeros((450, 57, 2), np.float32)
    predict_in_pieces(Echo(), mel, times, pose, REFERENCES, 5, found)
    assert np.allclose(found, predict_content(Echo(), mel, times, pose, REFERENCES, 5), atol=1e-5)


def test_pieces_of_a_long_run_are_blended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is predicted 50 frames before it begins, because there the network knows too little of what was before."""
    found, number = np.zeros((430, 57, 2), np.float32), iter(range(3))
    monkeypatch.setattr(
        "lipsmith.inference.speak.predict_content",
        lambda backend, mel, times, *_: np.full((len(times), 57, 2), next(number), np.float32),
    )
    predict_in_pieces(Echo(), silent(1), frame_times(430, 25), still(430, 0), REFERENCES, 5, found)
    ramp = np.arange(1, 51) / 51
    expected = np.concatenate([np.zeros(150), ramp, np.ones(150), 1 + ramp, np.full(30, 2)])
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=1e-6)


def test_predicted_lips_do_not_cross() -> None:
    pose = np.random.default_rng(0).random((6, 74, 2)).astype(np.float32)
    content = predict_content(Echo(), silent(1), frame_times(6, 25), pose, REFERENCES, 5)
    np.testing.assert_allclose(uncrossed(content), content, atol=1e-5)


def test_overlapping_windows_are_averaged_with_triangular_weights() -> None:
    pieces = np.stack([np.full((3, 57, 2), value, np.float32) for value in (0.0, 1.0)])
    mean = overlap_average(pieces, np.array([0, 1]), 4)
    # Weights 1/2, 1, 1/2: frame 1 is (1 * 0 + 1/2 * 1) / (3/2), frame 2 (1/2 * 0 + 1 * 1) / (3/2).
    np.testing.assert_allclose(mean[:, 0, 0], [0, 1 / 3, 2 / 3, 1], atol=1e-6)


@given(st.integers(1, 200), st.integers(1, 40))
def test_windows_cover_every_frame_and_no_other(frames: int, length: int) -> None:
    length = min(frames, length)
    starts = window_starts(frames, length)
    covered = np.zeros(frames, int)
    for start in starts:
        covered[start : start + length] += 1
    assert starts[-1] + length == frames
    assert covered.min() >= 1
    assert (triangle(length) > 0).all()


@given(st.integers(1, 100), st.floats(5, 120))
def test_the_grid_spans_all_frames(frames: int, fps: float) -> None:
    times = 3 + frame_times(frames, fps)
    ticks = grid(times)
    assert ticks[0] == times[0]
    assert times[-1] - 1e-6 <= ticks[-1] < times[-1] + 0.04


def test_resampling_interpolates_and_holds_the_ends() -> None:
    times = np.array([0.0, 0.1, 0.3])
    values = np.array([[1.0], [2.0], [4.0]], np.float32)
    np.testing.assert_allclose(resample(values, times, np.array([-1.0, 0.1, 0.3, 9.0]))[:, 0], [1, 2, 4, 4], atol=1e-6)
    np.testing.assert_allclose(resample(values, times, np.array([0.05, 0.2]))[:, 0], [1.5, 3.0], atol=1e-6)
    np.testing.assert_array_equal(resample(values[:1], times[:1], times)[:, 0], [1, 1, 1])
