"""The sound queue of a session: no sample is lost, and only silence is added, for any chunk sizes."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipsmith.errors import InputError, UsageError
from lipsmith.live.sound import SoundQueue, Wave, as_mono

RATE = 1000


def ramp(count: int) -> Wave:
    return np.linspace(0.1, 0.9, count, dtype=np.float32)


def played(queue: SoundQueue, count: int, step: int = 40) -> Wave:
    parts = []
    for _ in range(count // step):
        queue.read_ahead(step + 200, step)
        parts.append(queue.take(step))
    return np.concatenate(parts)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=20))
def test_speech_is_complete_and_starts_after_the_lead(chunks: list[int]) -> None:
    queue, speech, start = SoundQueue(RATE, 0.2), ramp(sum(chunks)), 0
    for count in chunks:
        queue.push(speech[start : start + count], RATE)
        start += count
    queue.end()
    expected = np.pad(speech, (200 if len(speech) else 0, 40))
    found = played(queue, len(expected) // 40 * 40)
    np.testing.assert_array_equal(found, expected[: len(found)])
    assert queue.waiting <= 40


def test_speech_during_speech_follows_without_a_gap() -> None:
    queue = SoundQueue(RATE, 0.2)
    queue.push(np.full(100, 0.5, np.float32), RATE)
    assert not played(queue, 200).any()
    queue.push(np.full(100, 0.6, np.float32), RATE)
    found = played(queue, 200)
    np.testing.assert_allclose(found, [0.5] * 100 + [0.6] * 100)


def test_speech_after_a_stall_or_an_end_starts_after_the_lead() -> None:
    queue = SoundQueue(RATE, 0.2)
    queue.push(np.full(60, 0.5, np.float32), RATE)
    assert played(queue, 400)[200:260] == pytest.approx(0.5)
    queue.push(np.full(60, 0.6, np.float32), RATE)  # the speaker stalled
    assert played(queue, 160).max() == 0
    queue.end()
    queue.push(np.full(60, 0.7, np.float32), RATE)  # 100 samples are queued
    assert played(queue, 280) == pytest.approx([0.0] * 40 + [0.6] * 60 + [0.0] * 100 + [0.7] * 60 + [0.0] * 20)


def test_a_shortened_pause_keeps_a_fifth_of_a_second() -> None:
    queue = SoundQueue(RATE, 0.0, most_behind=0.1)
    queue.push(np.r_[np.zeros(2000), np.full(100, 0.5)].astype(np.float32), RATE)
    queue.read_ahead(1, 1)
    assert queue.waiting == 300


def test_a_pause_with_the_noise_of_a_room_is_shortened_and_soft_speech_is_not() -> None:
    random = np.random.default_rng(0)
    for level, left in ((0.014, 300), (0.05, 2100)):
        queue = SoundQueue(RATE, 0.0, most_behind=0.1)
        loud = np.full(100, 0.5, np.float32)
        queue.push(np.r_[loud, random.uniform(-level, level, 2000), loud].astype(np.float32), RATE)
        queue.read_ahead(100, 100)
        queue.take(100)
        queue.read_ahead(1, 1)
        assert queue.waiting == pytest.approx(left, abs=10)


def test_soft_speech_long_after_loud_speech_is_no_noise() -> None:
    queue, soft = SoundQueue(RATE, 0.0, most_behind=0.1), np.tile(np.array([0.01, -0.01], np.float32), RATE // 2)
    queue.push(np.full(100, 1.0, np.float32), RATE)
    played(queue, 120)
    for _ in range(60):
        queue.push(soft, RATE)
        played(queue, RATE)
    queue.push(np.tile(soft, 2), RATE)
    queue.read_ahead(1, 1)
    assert queue.waiting == 2000


def test_samples_are_read_ahead_of_playback() -> None:
    queue = SoundQueue(RATE, 0.2)
    queue.push(ramp(1000), RATE)
    first = queue.read_ahead(240, 40)
    assert len(first) == 240
    assert len(queue.read_ahead(240, 40)) == 0
    queue.take(40)
    assert len(queue.read_ahead(240, 40)) == 40


def test_clear_fades_out_in_five_milliseconds() -> None:
    queue = SoundQueue(RATE, 0.2)
    queue.push(np.full(3000, 0.5, np.float32), RATE)
    played(queue, 400)
    assert queue.clear() == 5
    np.testing.assert_allclose(played(queue, 40), np.r_[0.5 * np.linspace(1, 0, 5), np.zeros(35)], atol=1e-6)
    assert not played(queue, 400).any()


def test_another_rate_is_resampled() -> None:
    queue = SoundQueue(RATE, 0.2)
    time = np.arange(16000) / 8000
    for block in np.split(np.sin(2 * np.pi * 50 * time).astype(np.float32), 50):
        queue.push(block, 8000)
    queue.end()
    found = played(queue, 2200)[200:]
    expected = np.sin(2 * np.pi * 50 * np.arange(2000) / RATE)
    np.testing.assert_allclose(found[100:1900], expected[100:1900], atol=0.02)


def test_a_fast_microphone_does_not_add_delay() -> None:
    queue, queued = SoundQueue(RATE, 0.2, most_behind=0.5), []
    word = np.r_[np.full(500, 0.5), np.zeros(500)].astype(np.float32)
    for _ in range(200):  # its clock is 5 % too fast
        for chunk in np.split(word, 25):
            queue.push(chunk, RATE)
            played(queue, 38, 38)
        queued.append(queue.waiting)
    assert max(queued[20:]) <= 1000


def test_a_long_recording_that_is_pushed_at_once_delays_no_frame() -> None:
    queue = SoundQueue(16000, 0.2, most_behind=0.5)
    queue.push(np.full(600 * 16000, 0.5, np.float32), 16000)
    started = time.process_time()
    assert played(queue, 100 * 640, 640)[-1] == 0.5
    assert time.process_time() - started < 1.0  # 4 s of sound


@pytest.mark.parametrize(
    "samples",
    [
        "words",
        None,
        [[[0.0]]],
        [[0.0], [0.0, 0.0]],
        np.full(9, 12_000.0),
        [1 + 2j],
        np.zeros(3, np.uint8),
        np.zeros((6, 9)),
        np.zeros((9, 2)),
    ],
)
def test_invalid_samples_are_a_usage_error(samples: object) -> None:
    with pytest.raises(UsageError):
        as_mono(samples, 16000)


@pytest.mark.parametrize("samples", ["words.wav", b"words", ([0.0], [0.0, 0.1])])
def test_what_is_no_array_is_not_told_to_be_a_file(samples: object) -> None:
    """A session takes none."""
    with pytest.raises(UsageError, match=r"is not an array of samples.*; give floats or signed integers\."):
        as_mono(samples, 16000)


@pytest.mark.parametrize("rate", [0, -1, 100, 16000.5, 2**31, np.nan, "fast", True])
def test_an_invalid_rate_is_a_usage_error(rate: float) -> None:
    with pytest.raises(UsageError, match="a whole number from 4000 to 768000"):
        as_mono(np.zeros(3), rate)


def test_nan_is_an_input_error() -> None:
    with pytest.raises(InputError):
        as_mono(np.array([0.0, np.nan]), 16000)


def test_integers_and_channels_become_mono_floats() -> None:
    mono, rate = as_mono(np.array([[16384, 0, 0], [0, 0, 0]], np.int16), 8000)
    assert (mono.tolist(), rate) == ([0.25, 0.0, 0.0], 8000)
    assert as_mono(np.array([1.5, -3.0, 0.5]), 8000)[0].tolist() == [1, -1, 0.5]


def test_speech_at_changing_rates_is_complete() -> None:
    queue = SoundQueue(RATE, 0)
    for rate in (3000, 2000, RATE, 3000, 500):
        queue.push(np.full(rate, 0.5, np.float32), rate)
    queue.end()
    assert queue.waiting == pytest.approx(5 * RATE, abs=5)
