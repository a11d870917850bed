import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.speech.mel import mel_spectrogram
from lipsmith.speech.recording import loudness, speaking, voicing

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
    return [float(share) for share in speaking(voicing(mel_spectrogram(wave)), np.array(at)).round(2)]


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


def test_a_pause_has_no_voice_activity() -> None:
    found = activity((1.0, 0.2), (1.0, 0.0), (1.0, 0.2), at=[0.5, 1.5, 2.5])
    assert found == [1.0, 0.0, 1.0]
    assert activity((0.5, 0.2), (0.36, 0.0), (0.5, 0.2), at=[0.68])[0] < 0.5


def test_voice_activity_rises_and_falls_gradually() -> None:
    """Otherwise lips would snap open and shut."""
    wave = np.concatenate([syllables(1.0), syllables(1.0, 0.0), syllables(1.0)])
    voiced = voicing(mel_spectrogram(wave))
    assert np.ptp(voiced) == pytest.approx(1)
    assert np.abs(np.diff(voiced)).max() < 0.12


def test_lips_move_a_little_before_and_after_the_words() -> None:
    found = activity((1.0, 0.2), (1.0, 0.0), (1.0, 0.2), at=[1.06, 1.3, 1.7, 1.94])
    assert min(found[0], found[3]) > 0.7
    assert max(found[1:3]) < 0.05


def test_silence_at_both_ends_has_no_voice_activity() -> None:
    assert activity((0.6, 0.0), (1.0, 0.2), (0.6, 0.0), at=[0.2, 1.1, 2.0]) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("closed", [0.12, 0.26])
def test_the_closure_of_a_plosive_counts_as_speech(closed: float) -> None:
    assert activity((0.5, 0.2), (closed, 0.0), (0.5, 0.2), at=[0.5 + closed / 2]) == [1.0]


@pytest.mark.parametrize("samples", [1, 250, 450])
def test_a_moment_of_speech_has_voice_activity(samples: int) -> None:
    voiced = voicing(mel_spectrogram(syllables(1.0)[:samples]))
    assert len(voiced) == 1 + samples // 200
    assert ((voiced >= 0) & (voiced <= 1)).all()


def test_soft_words_between_loud_ones_are_speech() -> None:
    assert activity((1.0, 0.2), (1.0, 0.02), (1.0, 0.2), at=[1.5]) == [1.0]


def test_a_short_pause_at_either_end_is_a_pause() -> None:
    first, last = activity((0.2, 0.0), (1.0, 0.2), (0.2, 0.0), at=[0.0, 1.39])
    assert max(first, last) < 0.2


def test_what_nobody_hears_is_not_speech() -> None:
    assert activity((1.0, 4e-3), at=[0.5]) == [0.0]
    assert activity((1.0, 0.02), at=[0.5]) == [1.0]


def test_a_silent_recording_has_no_voice_activity() -> None:
    assert activity((1.0, 0.0), at=[0.1, 0.9]) == [0.0, 0.0]
    assert activity((1.0, 0.2), at=[0.5, 1.5]) == [1.0, 0.0]


def test_loudness_does_not_depend_on_the_number_of_equal_bands() -> None:
    assert loudness(np.full((80, 3), -4.0, np.float32)) == pytest.approx([-100] * 3)
    assert loudness(np.full((80, 1), 0.0, np.float32)) == pytest.approx([-50])


def test_lips_stay_closed_where_a_hum_begins_and_ends() -> None:
    wave = np.concatenate([syllables(1.0), hum((1.0, 0.0), (2.0, 0.1), (1.0, 0.0)), syllables(1.0)])
    found = speaking(voicing(mel_spectrogram(wave)), np.arange(1.25, 4.75, 0.04))
    assert found.max() < 0.1


@pytest.mark.parametrize("amplitude", [0.0021, 0.0022, 0.0024])
def test_a_hiss_about_as_loud_as_the_softest_words_is_not_speech(amplitude: float) -> None:
    hiss = amplitude * np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    wave = np.concatenate([syllables(2.0), hiss, syllables(2.0)])
    assert speaking(voicing(mel_spectrogram(wave)), np.arange(2.5, 5.5, 0.04)).max() < 0.1


def test_a_hiss_beside_a_breath_is_a_pause_and_soft_words_are_none() -> None:
    noise = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    breath = np.zeros(3 * RATE, np.float32)
    breath[RATE : RATE + 9600] = 0.03 * np.hanning(9600)
    pause = noise * (0.003 + breath)
    wave = np.concatenate([syllables(1.0), pause, syllables(1.0), syllables(1.0, 0.02), syllables(1.0)])
    voiced = voicing(mel_spectrogram(wave))
    beside = np.concatenate([np.arange(1.3, 1.85, 0.04), np.arange(2.85, 3.8, 0.04)])
    assert speaking(voiced, beside).max() < 0.2
    assert speaking(voiced, np.array([0.5, 2.3, 4.5, 5.5, 6.5])).min() > 0.8
