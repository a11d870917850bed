"""Checks whether two films say the same."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.evaluation.films import read_beginning
from lipsmith.speech.mel import SAMPLE_RATE

_COMPARED: Final = 20.0
"""Seconds of speech to compare."""
_ALIKE: Final = 0.4
"""Minimum correlation of the waveforms. No two of 80 different recordings reach 0.35; a recording with a quiet, delayed
and noisy copy has 0.41 or more, and 0.87 after a codec at 12 to 32 kbit/s."""
_LATEST: Final = 0.5
"""Largest delay in seconds; codecs and their padding cause a tenth of it."""
_LOG = logging.getLogger(__name__)


def warn_other_speech(real: Path, generated: Path) -> None:
    """Warn if two films with sound say different words, so that one is not the ground truth of the other."""
    if not same_sound(read_beginning(real, _COMPARED), read_beginning(generated, _COMPARED)):
        _LOG.warning(
            "%s does not say the same as %s, so figures that need ground truth are meaningless; add --other-speech",
            *(generated, real),
        )


def same_sound(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two waveforms `(n,)` at 16 kHz are the same recording, regardless of level, codec, polarity, or a delay
    up to 0.5 s.

    Silence matches any recording.
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
