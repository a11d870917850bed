"""The speech of a dub: its mel spectrogram for the networks, its voice activity, and its sound for the result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.config import path_of
from lipsmith.errors import InputError, UsageError
from lipsmith.face.landmarks import parts
from lipsmith.files import require, state_of
from lipsmith.media.sound import HIGHEST_RATE, OVERSHOOT, Sound, open_sound, sound_of, to_rate
from lipsmith.speech.mel import HOP, MEL_LIMIT, MEL_RATE, SAMPLE_RATE, empty_sound, mel_spectrogram, mixed, stream_audio

# A step this many decibels below the loud ones is a pause.
_PAUSE_DB: Final = 38.0
INAUDIBLE_DB: Final = -75.0
"""A step below this level, in decibels, is a pause in any recording."""
# Steps within this many decibels of the level that is reached for a quarter second in total are speech. Neither a long
# silence around few words nor a click affects that level.
_SPEECH_RANGE_DB: Final = 20.0
_BURST_STEPS: Final = round(MEL_RATE / 4)
# Level that the loud parts of three quarters of the training recordings reach.
_TRAINING_DB: Final = -46.0
# Steps less than this many decibels above the median of steady noise are noise, too, unless they are speech as above.
_NOISE_DB: Final = 6.0
# The silence before a plosive is shorter than this and belongs to the word.
_SHORTEST_PAUSE: Final = 0.25
# The loudness of speech varies with its syllables. A sound whose loudness stays within this deviation (decibels, from
# certainly noise to certainly speech) for this many seconds before or after is a hum, a fan or a hiss.
_STEADY_DB: Final = (0.8, 1.4)
_STEADY_SECONDS: Final = 0.75
# Lips start moving before the sound and stop after it.
_OVERHANG: Final = 0.1
_SMOOTHING: Final = 0.05

_DB_PER_UNIT: Final = 12.5
_CHUNK: Final = 8 * SAMPLE_RATE
# Steps near the end of a piece whose spectra are incomplete: 800 samples are 4 steps.
_EDGE_STEPS: Final = 4
# Speech takes 200 MB an hour, and a file of few kilobytes can declare any number of hours of silence between words.
_MOST_HOURS: Final = 24
Samples = NDArray[np.floating[Any] | np.signedinteger[Any]]
Spoken = PathLike[str] | str | Samples | tuple[int, Samples]
"""A file with sound, or samples: `(n,)` or `(channels, n)`, or with their rate."""


def voicing(mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Voice activity of each step of `mel` `(80, steps)`, `(steps,)` in [0, 1].

    Pauses of a quarter second or more, and steady noise, also where it is beside a breath, are 0.
    """
    level = loudness(mel)
    loud, noise = _loud_level(level), _steadiness(level)
    audible = level > max(INAUDIBLE_DB, loud - _PAUSE_DB, min(_noise_level(level, noise), loud - _SPEECH_RANGE_DB))
    voiced = _without_short_pauses(audible) * (1 - noise)
    # Silence is steady, too, so it must not count as noise beside words.
    voiced = np.maximum(voiced, np.where(audible, 0, _widened(voiced * audible)))
    sigma = _SMOOTHING * MEL_RATE
    offsets = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.convolve(np.pad(voiced, len(offsets) // 2, mode="edge"), kernel / kernel.sum(), "valid")


def speaking(voiced: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voice activity of each frame, `(F,)` in [0, 1], from the `voicing` `(steps,)` of the sound.

    `times`: `(F,)` seconds from the start of the sound; the activity after the recording is 0.
    """
    steps = np.arange(len(voiced))
    return np.asarray(np.interp(np.asarray(times) * MEL_RATE, steps, voiced, right=0.0))


def normalize_level(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """`mel` `(80, steps)` of a recording, amplified to the level of the training speech if it is quieter.

    Digital silence and inaudible recordings stay unchanged.
    """
    return amplify(mel, gain_for(loudness(mel)))


def gain_for(level: NDArray[np.float64]) -> float:
    """Gain, in units of mel, for a recording with loudness `level` `(steps,)` in decibels; 0 for no change."""
    loud = _loud_level(level)
    return (_TRAINING_DB - loud) / _DB_PER_UNIT if INAUDIBLE_DB < loud < _TRAINING_DB else 0.0


def amplify(mel: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """`mel` `(80, steps)` plus `gain` units, except for digital silence."""
    return np.where(mel > -MEL_LIMIT, np.minimum(mel + np.float32(gain), MEL_LIMIT), mel) if gain else mel


def loudness(mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean power of all bands in decibels, `(steps,)`, of a scaled spectrogram `(80, steps)`."""
    level = np.empty(mel.shape[1])
    for part in parts(mel.shape[1]):
        decibels = (mel[:, part].astype(np.float64) + 4) * _DB_PER_UNIT - 100
        level[part] = 10 * np.log10((10 ** (decibels / 10)).mean(0))
    return level


def loudness_deviation(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of the loudness `(steps,)` shortly before or after each step, whichever is smaller."""
    span = min(round(_STEADY_SECONDS * MEL_RATE), len(level) - 1)
    if span < 2:
        return np.full(len(level), np.inf)
    around = np.pad(level, span, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(around, span)
    deviation = np.concatenate([windows[part].std(1) for part in parts(len(windows))])
    return np.asarray(np.minimum(deviation[: len(level)], deviation[-len(level) :]))


def _loud_level(level: NDArray[np.float64]) -> float:
    """The level of the loud parts of `level` `(steps,)`, regardless of silence in the recording."""
    top = np.sort(level)[-_BURST_STEPS:][0]
    return float(np.percentile(level[level >= top - _SPEECH_RANGE_DB], 95))


def _steadiness(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whether each step of `level` `(steps,)` is steady noise, `(steps,)`, from 0, certainly speech, to 1."""
    return np.clip((_STEADY_DB[1] - loudness_deviation(level)) / (_STEADY_DB[1] - _STEADY_DB[0]), 0, 1)


def _noise_level(level: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    """The level in `level` `(steps,)` below which there is only noise; `noise` `(steps,)` is where that is steady."""
    steady = level[(noise == 1) & (level > INAUDIBLE_DB)]
    return float(np.median(steady)) + _NOISE_DB if len(steady) else -np.inf


def _without_short_pauses(voiced: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks pauses of less than a quarter second between sounds as speech."""
    filled = voiced.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], voiced, [True]]).astype(int)))
    for begin, stop in edges.reshape(-1, 2):
        if begin > 0 and stop < len(voiced) and stop - begin < _SHORTEST_PAUSE * MEL_RATE:
            filled[begin:stop] = True
    return filled


def _widened(voiced: NDArray[np.float64]) -> NDArray[np.float64]:
    """The greatest activity within the overhang of each step."""
    overhang = round(_OVERHANG * MEL_RATE)
    around = np.pad(voiced, overhang)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(around, 2 * overhang + 1).max(1))


@dataclass(frozen=True, repr=False, eq=False)
class Speech:
    """A recording of `seconds`: its `mel` `(80, steps)`, and either the file or the samples for the result's sound.

    The mel of a quiet recording is amplified; the sound of the result is unchanged.
    """

    seconds: float
    mel: NDArray[np.float32]
    file: Path | None = None
    state: list[str | int] | None = None
    """Of the file when it was read, as of `state_of`."""
    samples: NDArray[np.float32] | None = None
    """(channels, n) in [-1, 1]"""
    rate: int = SAMPLE_RATE

    def __repr__(self) -> str:
        return f"Speech({str(self.file or 'samples')!r}, {self.seconds:.2f} s)"

    @cached_property
    def voicing(self) -> NDArray[np.float64]:
        """Voice activity of each step, `(steps,)` in [0, 1]."""
        return voicing(self.mel)

    @property
    def files(self) -> list[Path]:
        """The files that it is read from."""
        return [self.file] if self.file else []

    def sound(self) -> Sound:
        """The sound for the result, from its start. Raises `InputError` if there is none or the file was replaced."""
        if self.file:
            return open_unchanged(self.file, self.state)
        if self.samples is None:
            raise InputError("The speech has no samples; give a recording with speech.")
        return sound_of(self.samples, self.rate)


def open_unchanged(file: Path, state: list[str | int] | None) -> Sound:
    """The whole sound of a file. Raises `InputError` unless its state is `state`: lips would not fit another sound."""
    require(file)
    if state_of(file) != state:
        raise InputError(f"{file} has changed since it was read; give the speech again.")
    return open_sound(file, whole=True)


def load_speech(speech: Spoken, rate: int = SAMPLE_RATE) -> Speech:
    """Speech from any file with sound, or from samples `(n,)` or `(1 or 2, n)` at `rate` Hz.

    Samples are floats in [-1, 1] or signed integers up to their type's full scale. A pair is a rate and samples `(n,)`
    or `(n, 1 or 2)`, as from web pages with a microphone.

    Raises `InputError` for a missing sound, NaN or infinite samples, `UsageError` for another type, shape or scale, or
    a rate outside of 1000 to 768000.
    """
    if isinstance(speech, tuple) and len(speech) == 2 and np.ndim(speech[0]) == 0:
        rate, speech = speech[0], array_of(speech[1]).T
    elif isinstance(speech, tuple) and len(speech) == 2 and isinstance(speech[1], Real):
        raise UsageError("Speech is a pair of samples and a rate; give the rate first: (rate, samples).")
    rate = checked_rate(rate)
    if isinstance(speech, str | PathLike):
        file = path_of(speech, "The speech")
        require(file)
        state = state_of(file)
        samples, mel = streamed_mel(stream_audio(file, whole=True))
        if not samples:
            raise empty_sound(file)
        return Speech(samples / SAMPLE_RATE, normalize_level(mel), file=file, state=state)
    array = array_of(speech)
    given = np.atleast_2d(as_float(array))
    if given.ndim != 2 or not 1 <= len(given) <= 2:
        raise UsageError(f"Speech has shape {array.shape} instead of (n,) or (1 or 2, n); transpose it or mix it down.")
    if not given.size or not np.isfinite(given).all():
        raise InputError("The speech has no samples, or NaN or infinite samples; give a recording with speech.")
    given = np.clip(given, -1, 1)
    wave = _resample_to_16k(next(mixed([given])), rate)
    if not len(wave):
        raise InputError("The speech is shorter than one sample at 16 kHz; give a recording with speech.")
    mel = mel_spectrogram(wave)
    return Speech(given.shape[1] / rate, normalize_level(mel), samples=given, rate=rate)


def checked_rate(rate: int) -> int:
    """A sample rate of any type of number as an int, which the encoder needs. Raises `UsageError` for another one."""
    if not isinstance(rate, Real) or not 1000 <= rate <= HIGHEST_RATE or rate != int(rate):
        raise UsageError(f"A speech sample rate of {rate!r} is invalid; give the rate in samples per second.")
    return int(rate)


def streamed_mel(blocks: Iterable[NDArray[np.float32]]) -> tuple[int, NDArray[np.float32]]:
    """Number of samples and mel `(80, steps)` of a 16 kHz sound in blocks `(n,)`, without holding the whole sound.

    Equal to `mel_spectrogram` of the whole, because pieces overlap by more than one short-time spectrum. Raises
    `InputError` for more than a day.
    """
    pieces: list[NDArray[np.float32]] = []
    buffer, total, known = np.zeros(0, np.float32), 0, 0
    for block in blocks:
        buffer = np.concatenate([buffer, np.clip(block, -1, 1)])
        total += len(block)
        if total > _MOST_HOURS * 3600 * SAMPLE_RATE:
            raise InputError(f"The speech lasts more than {_MOST_HOURS} hours, by the clock of its file; cut it.")
        if len(buffer) >= _CHUNK:
            mel = mel_spectrogram(buffer)
            whole = len(buffer) // HOP - _EDGE_STEPS
            pieces.append(mel[:, known:whole])
            buffer, known = buffer[(whole - _EDGE_STEPS) * HOP :], _EDGE_STEPS
    pieces.append(mel_spectrogram(buffer)[:, known:])
    return total, np.concatenate(pieces, axis=1)


def array_of(speech: object, taken: str = "a file or samples") -> NDArray[Any]:
    """Samples as an array. Raises `UsageError` for anything else, which tells what is `taken`."""
    kind = type(speech).__name__
    try:
        array = np.asarray(speech)
    except ValueError as error:
        raise UsageError(f"Speech of type {kind} is not an array of samples ({error}); give {taken}.") from error
    if array.dtype.kind in "OSUV" or not array.ndim:
        raise UsageError(f"Speech of type {kind} is not an array of samples; give {taken}.")
    return array


def as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """A copy of samples as float32, full scale at 1; NaN and infinity stay. Raises `UsageError` for others."""
    if samples.dtype.kind == "i":
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    if samples.dtype.kind != "f":
        raise UsageError(f"Speech has samples of type {samples.dtype}; give floats in [-1, 1] or signed integers.")
    if samples.size and OVERSHOOT < np.abs(samples).max() < np.inf:
        raise UsageError(f"Speech reaches {np.abs(samples).max():g}; scale it to floats in [-1, 1].")
    return samples.astype(np.float32)


def _resample_to_16k(wave: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    if rate == SAMPLE_RATE:
        return wave
    blocks = (wave[None, begin : begin + _CHUNK] for begin in range(0, len(wave), _CHUNK))
    resampled = to_rate(Sound(rate, 1, blocks), SAMPLE_RATE).blocks
    return np.concatenate([np.zeros(0, np.float32), *(block[0] for block in resampled)])
