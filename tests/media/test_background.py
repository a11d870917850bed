"""Music under a voice: level, length, rate and channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dub_samples import write_wav
from lipsmith.errors import InputError
from lipsmith.media import VideoWriter, open_sound, probe
from lipsmith.media.background import Background, with_background
from lipsmith.media.sound import Sound
from video_samples import pictures, sound

RATE = 16_000
HALF = 20 * np.log10(0.5)


def level(value: float, seconds: float, channels: int = 1) -> NDArray[np.float32]:
    return np.full((channels, round(seconds * RATE)), value, np.float32)


def voice(samples: NDArray[np.float32], piece: int = 1000) -> Sound:
    return Sound(RATE, len(samples), iter(np.split(samples, range(piece, samples.shape[1], piece), axis=1)), "eng")


def music(path: Path, samples: NDArray[np.float32]) -> Path:
    return sound(path, samples, RATE, layout=("mono", "stereo")[len(samples) - 1])


def mixed(spoken: Sound, background: Path, gain: float, seconds: float) -> NDArray[np.float32]:
    result = with_background(spoken, Background(background, gain), seconds)
    samples = np.concatenate(list(result.blocks), axis=1)
    assert (len(samples), result.language) == (result.channels, "eng")
    return samples


def test_the_background_is_added_at_its_gain(tmp_path: Path) -> None:
    path = music(tmp_path / "a.wav", np.concatenate([level(0.4, 4), level(-0.2, 4)]))
    samples = mixed(voice(level(0.25, 3)), path, HALF, 3.0)
    assert samples.shape == (2, 3 * RATE)
    assert samples[0] == pytest.approx(0.25 + 0.2, abs=1e-3)
    assert samples[1] == pytest.approx(0.25 - 0.1, abs=1e-3)


@pytest.mark.parametrize(
    ("spoken", "played", "film", "length"), [(3, 1, 3, 3), (1, 3, 3, 3), (1, 9, 3, 3), (1, 2, 3, 3), (3, 9, 2, 3)]
)
def test_the_background_lasts_as_long_as_the_film(
    tmp_path: Path, spoken: int, played: int, film: int, length: int
) -> None:
    path = music(tmp_path / "a.wav", level(0.4, played))
    samples = mixed(voice(level(0.25, spoken)), path, HALF, film)[0]
    assert len(samples) == length * RATE
    for second in range(length):
        expected = 0.25 * (second < spoken) + 0.2 * (second < played)
        assert samples[second * RATE + 100 : (second + 1) * RATE - 100] == pytest.approx(expected, abs=1e-3)


def test_the_mix_has_the_higher_rate_and_is_clipped_at_full_scale(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", np.full((1, 48_000), 0.9, np.float32), 48_000)
    result = with_background(voice(level(0.9, 1)), Background(path, 0.0), 1.0)
    samples = np.concatenate(list(result.blocks), axis=1)
    assert result.rate == 48_000
    assert samples.shape[1] == pytest.approx(48_000, abs=32)
    assert samples.max() == 1.0


def test_a_film_is_written_with_a_background(tmp_path: Path) -> None:
    path = music(tmp_path / "a.wav", level(0.4, 9))
    silence, behind = voice(level(0.0, 0.4)), Background(path, HALF)
    with VideoWriter(tmp_path / "a.mp4", 64, 48, 25, sound=silence, background=behind, end=0.8) as writer:
        for image in pictures(20):
            writer.write(image)
    heard = np.concatenate(list(open_sound(tmp_path / "a.mp4").blocks), axis=1)[0]
    assert len(heard) == pytest.approx(0.8 * RATE, abs=1)
    assert heard[4000:-4000] == pytest.approx(0.2, abs=0.02)
    assert probe(tmp_path / "a.mp4").duration == pytest.approx(0.8, abs=1e-3)


def test_a_background_without_sound_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.wav", Path(__file__)):
        with pytest.raises(InputError):
            with_background(voice(level(0.1, 1)), Background(path), 1.0)
    empty = write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32))
    with pytest.raises(InputError, match=r"empty\.wav has an empty sound track; give a file with music"):
        with_background(voice(level(0.1, 1)), Background(empty), 1.0)
