"""Reads any sound as 16 kHz mono and computes the networks' mel spectrogram, which is Wav2Lip's.

Pre-emphasis 0.97, STFT of 800 samples every 200 with a periodic Hann window, magnitudes in 80 Slaney mel bands from 55
to 7600 Hz, and decibels below full scale mapped to [-4, 4].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lipsmith.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE = 16000
"""Hz."""
HOP = 200
"""Samples between steps of the mel spectrogram."""
FFT = 800
"""Samples per short-time spectrum."""
MELS = 80
"""Bands of the mel spectrogram."""
MEL_LOW, MEL_HIGH = 55.0, 7600.0
"""Hz, the edges of the lowest and the highest band."""
PRE_EMPHASIS = 0.97
"""Pre-emphasis: weight of the previous sample, subtracted from every sample."""
FLOOR_DB, REFERENCE_DB = -100.0, 20.0
"""Decibels of silence and of full scale."""
MEL_LIMIT = 4.0
"""The mel spectrogram lies in [-MEL_LIMIT, MEL_LIMIT]; the lower end is silence."""
MEL_RATE = SAMPLE_RATE / HOP
"""Mel steps per second."""
WINDOW = 16
"""Mel steps in the window of one video frame, 0.2 s."""
WINDOW_LEAD = 6.4
"""Steps between the start of a window and its frame's time: at 25 fps the window of frame i starts at step
80 (i - 2) / 25. Its steps are centered 0.014 s after that time, or up to a step earlier, because it starts at a whole
step."""

_OPPOSITE_PHASE = 0.1  # power of two channels' mean divided by that of their difference; below it, one is inverted
_CHUNK = 2048  # spectra at a time: 13 MB
_EPSILON = 1e-6  # steps; absorbs rounding of times, far below the 1e-3 s of any container's clock


def read_audio(path: Path | str) -> NDArray[np.float32]:
    """The sound of an audio or video file: (n,) in [-1, 1], 16 kHz, channels mixed to one.

    In a video, sample 0 is at the first frame, regardless of when its sound starts.

    Raises:
        InputError: the file is missing or empty, or has no sound.
    """
    blocks = list(stream_audio(path))
    wave = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if wave.size == 0:
        raise empty_sound(path)
    return np.clip(wave, -1.0, 1.0, out=wave)


def empty_sound(name: Path | str) -> InputError:
    """The error for a file with a sound track but no sample."""
    return InputError(f"{name} has an empty sound track; give a recording with speech.")


def stream_audio(path: Path | str, whole: bool = False) -> Iterator[NDArray[np.float32]]:
    """Like `read_audio`, in blocks (n,) that are not clipped; no blocks if the sound track is empty.

    `whole`: sample 0 is the first of the sound, regardless of when the file's picture starts.
    """
    # Imported here, because training reads mels from prepared clips on machines that may lack a media library.
    from lipsmith.media.sound import open_sound

    return mixed(open_sound(path, SAMPLE_RATE, whole).blocks)


def mixed(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Mixes blocks (1 or 2, n) down to blocks (n,): the mean of the channels.

    The mean of channels in opposite phase, as from a miswired cable, is silence: if its power so far is below a tenth
    of the power of their difference, half the difference is used instead.
    """
    of_mean = of_difference = 0.0
    for block in blocks:
        mean, difference = block.mean(0), (block[0] - block[-1]) / 2
        of_mean += float(mean @ mean)
        of_difference += float(difference @ difference)
        yield difference if of_mean < _OPPOSITE_PHASE * of_difference else mean


def mel_spectrogram(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) at 16 kHz in [-1, 1] to (80, 1 + n // 200) in [-4, 4]; step s is centered on sample 200 s."""
    mel = np.empty((MELS, 1 + len(wave) // HOP), np.float32)
    for first in range(0, mel.shape[1], _CHUNK):
        last = min(first + _CHUNK, mel.shape[1]) - 1
        samples = _emphasized(wave, first * HOP - FFT // 2, last * HOP + FFT // 2)
        spectra = np.abs(np.fft.rfft(sliding_window_view(samples, FFT)[::HOP] * _hann(), axis=1))
        mel[:, first : last + 1] = mel_filters() @ spectra.T
    return _scaled_decibels(mel)


def _emphasized(wave: NDArray[np.float32], begin: int, end: int) -> NDArray[np.float32]:
    """Samples `begin` to `end` after pre-emphasis, with silence before and after the recording."""
    inside = wave[max(begin, 0) : end].astype(np.float32)
    before = wave[max(begin - 1, 0) : min(end, len(wave)) - 1]
    inside[len(inside) - len(before) :] -= np.float32(PRE_EMPHASIS) * before
    return np.pad(inside, (max(-begin, 0), end - max(begin, 0) - len(inside)))


def _scaled_decibels(magnitude: NDArray[np.float32]) -> NDArray[np.float32]:
    decibels = 20.0 * np.log10(np.maximum(10.0 ** (FLOOR_DB / 20.0), magnitude)) - REFERENCE_DB
    scaled = 2.0 * MEL_LIMIT * (decibels - FLOOR_DB) / -FLOOR_DB - MEL_LIMIT
    return np.asarray(np.clip(scaled, -MEL_LIMIT, MEL_LIMIT), np.float32)


def mel_windows(mel: NDArray[np.float32], times: NDArray[np.float64]) -> NDArray[np.float32]:
    """The mel window of each frame: 16 steps, the first of them `WINDOW_LEAD` steps before its time, rounded down.

    Args:
        mel: (80, steps).
        times: (F,) seconds from the start of the sound.

    Returns:
        (F, 80, 16), a copy; steps outside the recording are silent.
    """
    starts = np.floor(MEL_RATE * np.asarray(times, np.float64) - WINDOW_LEAD + _EPSILON).astype(np.int64)
    steps = starts[:, None] + np.arange(WINDOW)
    inside = (steps >= 0) & (steps < mel.shape[1])
    windows = mel.T[np.where(inside, steps, 0)]
    windows[~inside] = -MEL_LIMIT
    return np.ascontiguousarray(windows.transpose(0, 2, 1))


@cache
def _hann() -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)


@cache
def mel_filters() -> NDArray[np.float32]:
    """(80, 401): triangles, evenly spaced on Slaney's mel scale, each of unit area in Hz."""
    low, high = _hz_to_mel(MEL_LOW), _hz_to_mel(MEL_HIGH)
    corners = _mel_to_hz(np.linspace(low, high, MELS + 2))
    frequencies = np.fft.rfftfreq(FFT, 1.0 / SAMPLE_RATE)
    rising = (frequencies - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - frequencies) / np.diff(corners)[1:, None]
    area = 2.0 / (corners[2:] - corners[:-2])
    return (np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


_LINEAR_HZ = 200.0 / 3.0  # Slaney's Auditory Toolbox: 66.7 Hz a mel below 1 kHz, logarithmic above
_LOG_FROM_HZ = 1000.0
_LOG_FROM_MEL = _LOG_FROM_HZ / _LINEAR_HZ
_LOG_STEP = math.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _LOG_FROM_HZ:
        return hz / _LINEAR_HZ
    return _LOG_FROM_MEL + math.log(hz / _LOG_FROM_HZ) / _LOG_STEP


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mel - _LOG_FROM_MEL))
    return np.where(mel < _LOG_FROM_MEL, mel * _LINEAR_HZ, logarithmic)
