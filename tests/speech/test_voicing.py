import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face.landmarks import NUM_CONTENT, NUM_JAW, NUM_POINTS
from lipsmith.speech.mel import mel_spectrogram
from lipsmith.speech.voicing import close_lips, loudness, resting_opening, speaking, voicing

RATE = 16_000


def syllables(seconds: float, amplitude: float = 0.2) -> NDArray[np.float32]:
    """A buzz whose loudness rises and falls four times a second, as speech's does."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (hum((seconds, amplitude)) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def hum(*parts: tuple[float, float]) -> NDArray[np.float32]:
    """A buzz, (seconds, amplitude) after (seconds, amplitude)."""
    pieces = []
    for seconds, amplitude in parts:
        time = np.arange(round(seconds * RATE)) / RATE
        pieces.append(amplitude * sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20)))
    return np.concatenate(pieces).astype(np.float32)


def activity(*parts: tuple[float, float], at: list[float]) -> list[float]:
    """Of syllables, (seconds, amplitude) after (seconds, amplitude)."""
    wave = np.concatenate([syllables(*part) for part in parts])
    return speaking(voicing(mel_spectrogram(wave)), np.array(at)).round(2).tolist()


@pytest.mark.parametrize("noise", ["hiss", "hum"])
def test_steady_noise_before_the_first_word_is_not_speech(noise: str) -> None:
    hiss = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    wave = np.concatenate([hiss if noise == "hiss" else hum((2.0, 0.1)), syllables(2.0)])
    assert speaking(voicing(mel_spectrogram(wave)), np.array([0.1, 1.0, 1.8, 2.3, 3.5])).round(1).tolist() == [
        0,
        0,
        0,
        1,
        1,
    ]


def test_a_pause_is_told_from_speech() -> None:
    found = activity((1.0, 0.2), (1.0, 0.0), (1.0, 0.2), at=[0.5, 1.5, 2.5])
    assert found == [1.0, 0.0, 1.0]


def test_silence_at_both_ends_is_a_pause() -> None:
    assert activity((0.6, 0.0), (1.0, 0.2), (0.6, 0.0), at=[0.2, 1.1, 2.0]) == [0.0, 1.0, 0.0]


def test_the_closure_of_a_plosive_is_speech() -> None:
    assert activity((0.5, 0.2), (0.12, 0.0), (0.5, 0.2), at=[0.56]) == [1.0]


def test_nobody_speaks_in_a_silent_recording_or_after_its_end() -> None:
    assert activity((1.0, 0.0), at=[0.1, 0.9]) == [0.0, 0.0]
    assert activity((1.0, 0.2), at=[0.5, 1.5]) == [1.0, 0.0]


def test_loudness_does_not_depend_on_the_number_of_equal_bands() -> None:
    assert loudness(np.full((80, 3), -4.0, np.float32)) == pytest.approx([-100] * 3)
    assert loudness(np.full((80, 1), 0.0, np.float32)) == pytest.approx([-50])


def mouth(opening: float) -> NDArray[np.float32]:
    content = np.zeros((1, NUM_CONTENT, 2), np.float32)
    lower = 20 - np.arange(1, 10)
    for begin in (NUM_JAW, NUM_JAW + 20):
        content[0, begin + lower, 1] = opening
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
