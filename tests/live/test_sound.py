"""The session's sound line: nothing is lost, nothing is added but silence, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipsmith.errors import InputError, UsageError
from lipsmith.live.sound import SoundLine, Wave, as_mono

RATE = 1000


def ramp(count: int) -> Wave:
    return np.linspace(0.1, 0.9, count, dtype=np.float32)


def played(line: SoundLine, count: int, step: int = 40) -> Wave:
    pieces = []
    for _ in range(count // step):
        line.listen(step + 200, step)
        pieces.append(line.take(step))
    return np.concatenate(pieces)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=20))
def test_speech_is_played_whole_after_the_lead(chunks: list[int]) -> None:
    line, speech, begin = SoundLine(RATE, 0.2), ramp(sum(chunks)), 0
    for count in chunks:
        line.push(speech[begin : begin + count], RATE)
        begin += count
    line.end()
    expected = np.pad(speech, (200 if len(speech) else 0, 40))
    found = played(line, len(expected) // 40 * 40)
    np.testing.assert_array_equal(found, expected[: len(found)])
    assert line.waiting <= 40


def test_what_comes_while_speech_is_under_way_follows_at_once() -> None:
    line = SoundLine(RATE, 0.2)
    line.push(np.full(100, 0.5, np.float32), RATE)
    assert not played(line, 200).any()
    line.push(np.full(100, 0.6, np.float32), RATE)
    found = played(line, 200)
    np.testing.assert_allclose(found, [0.5] * 100 + [0.6] * 100)


def test_the_networks_listen_ahead_of_what_is_played() -> None:
    line = SoundLine(RATE, 0.2)
    line.push(ramp(1000), RATE)
    first = line.listen(240, 40)
    assert len(first) == 240
    assert len(line.listen(240, 40)) == 0
    line.take(40)
    assert len(line.listen(240, 40)) == 40


def test_interrupted_speech_fades_out_in_five_milliseconds() -> None:
    line = SoundLine(RATE, 0.2)
    line.push(np.full(3000, 0.5, np.float32), RATE)
    played(line, 400)
    assert line.clear() == 5
    np.testing.assert_allclose(played(line, 40), np.r_[0.5 * np.linspace(1, 0, 5), np.zeros(35)], atol=1e-6)
    assert not played(line, 400).any()


def test_another_rate_is_resampled_in_place() -> None:
    line = SoundLine(RATE, 0.2)
    time = np.arange(16000) / 8000
    for block in np.split(np.sin(2 * np.pi * 50 * time).astype(np.float32), 50):
        line.push(block, 8000)
    line.end()
    found = played(line, 2200)[200:]
    expected = np.sin(2 * np.pi * 50 * np.arange(2000) / RATE)
    np.testing.assert_allclose(found[100:1900], expected[100:1900], atol=0.02)


def test_a_fast_microphone_does_not_fall_behind() -> None:
    line, waited = SoundLine(RATE, 0.2, most_behind=0.5), []
    word = np.r_[np.full(500, 0.5), np.zeros(500)].astype(np.float32)
    for _ in range(200):  # its clock is a twentieth too fast
        for chunk in np.split(word, 25):
            line.push(chunk, RATE)
            played(line, 38, 38)
        waited.append(line.waiting)
    assert max(waited[20:]) <= 1000


@pytest.mark.parametrize("samples", ["words", [[[0.0]]], [1 + 2j], np.zeros(3, np.uint8)])
def test_what_is_no_sound_is_a_usage_error(samples: object) -> None:
    with pytest.raises(UsageError):
        as_mono(samples, 16000)


@pytest.mark.parametrize("rate", [0, -1, 100, 16000.5, "fast", True])
def test_a_rate_that_cannot_be_is_a_usage_error(rate: object) -> None:
    with pytest.raises(UsageError):
        as_mono(np.zeros(3), rate)


def test_numbers_that_are_none_are_an_input_error() -> None:
    with pytest.raises(InputError):
        as_mono(np.array([0.0, np.nan]), 16000)


def test_whole_numbers_and_channels_become_mono_floats() -> None:
    mono, rate = as_mono(np.array([[16384, 0], [0, 0]], np.int16), 8000)
    assert (mono.tolist(), rate) == ([0.25, 0.0], 8000)
