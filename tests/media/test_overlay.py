"""Several sounds, each at its time: levels, rates, silence between them, and full scale."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.media import overlay as module
from lipsmith.media.overlay import TimedSound, overlay
from lipsmith.media.sound import Sound, sound_of

RATE = 8000


def steady(value: float, seconds: float, rate: int = RATE, channels: int = 1) -> Callable[[], Sound]:
    def opened() -> Sound:
        sound = sound_of(np.full((channels, round(seconds * rate)), value, np.float32), rate)
        assert sound is not None
        return sound

    return opened


def placed(
    value: float, start: float, end: float, rate: int = RATE, channels: int = 1, seconds: float = 9
) -> TimedSound:
    return TimedSound(steady(value, seconds, rate, channels), start, end, rate, channels, "eng")


def whole(*parts: TimedSound, seconds: float) -> NDArray[np.float32]:
    sound = overlay(parts, seconds)
    assert sound.language == "eng"
    samples = np.concatenate(list(sound.blocks), axis=1)
    assert samples.shape == (sound.channels, round(seconds * sound.rate))
    return samples


@pytest.mark.parametrize("block", [16384, 700])
def test_each_part_keeps_its_time_and_level(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr("lipsmith.media.background.BLOCK", block)
    samples = whole(placed(0.25, 1.5, 3), placed(0.5, 0.25, 2), seconds=4)[0]
    expected = np.zeros(4 * RATE, np.float32)
    expected[round(1.5 * RATE) : 3 * RATE] += 0.25
    expected[round(0.25 * RATE) : 2 * RATE] += 0.5
    assert np.array_equal(samples, expected)


def test_a_sum_above_full_scale_is_attenuated(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        samples = whole(placed(0.8, 0, 2), placed(0.8, 1, 3), seconds=3)[0]
    assert samples[RATE + 9] == pytest.approx(1)
    assert samples[9] == samples[-9] == pytest.approx(0.5)
    assert "attenuated by 4.1 dB" in caplog.text


def test_consecutive_parts_are_opened_once_and_keep_their_level() -> None:
    opened = []
    loud = [placed(1.0, 0, 1), placed(1.0, 1, 2)]
    counted = [
        TimedSound(lambda part=part: opened.append(part) or part.open(), part.start, part.end, RATE, 1, "eng")  # type: ignore[misc]
        for part in loud
    ]
    assert (whole(*counted, seconds=2) == 1).all()
    assert opened == loud


def test_the_sum_has_the_highest_rate_and_most_channels() -> None:
    samples = whole(placed(0.25, 0, 1), placed(0.5, 0.5, 1, rate=2 * RATE, channels=2), seconds=1)
    assert samples.shape == (2, 2 * RATE)
    assert samples[:, RATE // 2] == pytest.approx(0.25, abs=1e-3)
    assert samples[:, 3 * RATE // 2] == pytest.approx(0.75, abs=1e-3)


def test_a_part_that_is_cut_fades() -> None:
    part = replace(placed(0.5, 0.25, 1), is_cut=True)
    samples = whole(part, seconds=2)[0]
    assert (samples[RATE // 4 : RATE - 40] == 0.5).all()
    assert samples[RATE - 40 : RATE + 1] == pytest.approx(0.5 * np.arange(40, -1, -1) / 40)


def test_different_languages_are_not_declared() -> None:
    other = TimedSound(steady(0.1, 1), 0, 1, RATE, 1, "deu")
    assert overlay([placed(0.1, 0, 1), other], 1).language is None
