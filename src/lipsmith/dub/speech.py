"""The words to be said, as the networks hear them and as the result will sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsmith.audio import SAMPLE_RATE, mel_spectrogram, read_audio
from lipsmith.errors import InputError, UsageError
from lipsmith.video.sound import resample


@dataclass(frozen=True)
class Speech:
    """A recording of `seconds`: its `mel` `(80, steps)`, and either the file or the samples that will be heard."""

    seconds: float
    mel: NDArray[np.float32]
    file: Path | None = None
    samples: NDArray[np.float32] | None = None
    """(channels, n) in [-1, 1]"""
    rate: int = SAMPLE_RATE


def load_speech(speech: Path | str | NDArray[np.floating], rate: int = SAMPLE_RATE) -> Speech:
    """Speech from any file with sound, or from samples `(n,)` or `(1 or 2, n)` in [-1, 1] at `rate` Hz.

    Raises `InputError` where there is no sound or samples are not numbers, `UsageError` for another shape or rate.
    """
    if isinstance(speech, str | Path):
        wave = read_audio(speech)
        return Speech(len(wave) / SAMPLE_RATE, mel_spectrogram(wave), file=Path(speech))
    samples = np.atleast_2d(np.asarray(speech, np.float32))
    if samples.ndim != 2 or not 1 <= len(samples) <= 2:
        raise UsageError(f"Speech of shape {np.shape(speech)} is neither (n,) nor (1 or 2, n); mix it down.")
    if rate < 1000:
        raise UsageError(f"Speech at {rate} samples a second cannot be understood; give its true rate.")
    if not samples.size or not np.isfinite(samples).all():
        raise InputError("The speech holds no samples, or some that are not numbers; give a recording with speech.")
    samples = np.clip(samples, -1, 1)
    mel = mel_spectrogram(_sixteen_kilohertz(samples.mean(0), rate))
    return Speech(samples.shape[1] / rate, mel, samples=samples, rate=rate)


def _sixteen_kilohertz(wave: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    if rate == SAMPLE_RATE:
        return wave
    blocks = resample(iter([wave[None]]), rate, SAMPLE_RATE, 1)
    return np.concatenate([block[0] for block in blocks])
