"""How films begin to sound, and whether two of them say the same."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.speech.mel import SAMPLE_RATE, stream_audio

_ALIKE: Final = 0.4
"""Correlation of waves. Of 80 recordings no two reach 0.35; one with itself, quiet, late and in noise, has 0.41 or
more, after a codec at 12 to 32 kbit/s 0.87."""
_LATEST: Final = 0.5
"""Seconds by which it may be late: codecs and their padding take a tenth of it."""


def opening(film: Path, seconds: float) -> NDArray[np.float32]:
    """As `lipsmith.speech.mel.read_audio`, but no further than needed: films may last for hours. May be empty."""
    samples = islice(chain.from_iterable(stream_audio(film)), round(seconds * SAMPLE_RATE))
    wave = np.fromiter(samples, np.float32)
    return np.clip(wave, -1.0, 1.0, out=wave)


def same_sound(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two waves `(n,)` at 16 kHz are one recording, however loud, coded, turned over or up to 0.5 s late.

    Of silence nothing can be told: it counts as the same.
    """
    length = min(len(a), len(b))
    first, second = a[:length].astype(np.float64), b[:length].astype(np.float64)
    norm = float(np.sqrt((first @ first) * (second @ second)))
    if norm < 1e-9:
        return True
    spectrum = np.conj(np.fft.rfft(first, 2 * length)) * np.fft.rfft(second, 2 * length)
    lags = np.abs(np.fft.irfft(spectrum, 2 * length))
    reach = min(round(_LATEST * SAMPLE_RATE), length)
    return bool(max(lags[: reach + 1].max(), lags[-reach:].max()) >= _ALIKE * norm)
