"""Mel-frequency cepstral coefficients, the input of the official SyncNet.

Follows the defaults of the package `python_speech_features`, on which that network was trained: 25 ms every 10 ms, no
window, pre-emphasis 0.97, 26 HTK mel filters on a 512-point power spectrum, DCT-II, lifter 22, and the log energy
instead of the zeroth coefficient.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.speech.mel import SAMPLE_RATE

FRAME_RATE: Final = 100
COEFFICIENTS: Final = 13
_LENGTH, _HOP, _FFT, _FILTERS, _LIFTER = 400, 160, 512, 26, 22


def mfcc(wave: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """`(T, 13)`, 100 steps a second, of `wave` `(n,)` at 16 kHz, in 16-bit units."""
    emphasized = np.append(wave[:1], wave[1:] - 0.97 * wave[:-1]).astype(np.float64)
    count = 1 + max(0, -(-(len(emphasized) - _LENGTH) // _HOP))
    padded = np.pad(emphasized, (0, max(0, (count - 1) * _HOP + _LENGTH - len(emphasized))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _LENGTH)[::_HOP][:count]
    power = np.abs(np.fft.rfft(frames, _FFT)) ** 2 / _FFT
    bands = np.log(_nonzero(power @ _mel_filters().T))
    cepstra = (bands @ _dct().T) * (1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER))
    cepstra[:, 0] = np.log(_nonzero(power.sum(1)))
    return np.asarray(cepstra, np.float64)


def samples(first: int, last: int) -> slice:
    """The part of a waveform that steps `first` up to `last` of its coefficients depend on.

    Computed from that part alone, step `first` is wrong unless it is 0, because pre-emphasis uses the previous sample.
    """
    return slice(first * _HOP, (last - 1) * _HOP + _LENGTH)


def _nonzero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values == 0, np.finfo(np.float64).eps, values)


def _mel_filters() -> NDArray[np.float64]:
    """`(26, 257)` triangles between bins that are evenly spaced on the HTK mel scale, 0 Hz to 8 kHz."""
    mels = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), _FILTERS + 2)
    edges = np.floor((_FFT + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE)
    bins = np.arange(_FFT // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    inside_rising = (bins >= low) & (bins < middle)
    inside_falling = (bins >= middle) & (bins < high)
    return np.where(inside_rising, rising, np.where(inside_falling, falling, 0.0))


def _dct() -> NDArray[np.float64]:
    """`(13, 26)`: the orthonormal DCT-II."""
    k, n = np.arange(COEFFICIENTS)[:, None], np.arange(_FILTERS)[None]
    matrix = np.sqrt(2 / _FILTERS) * np.cos(np.pi * k * (2 * n + 1) / (2 * _FILTERS))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float64)
