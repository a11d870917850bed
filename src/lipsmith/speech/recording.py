"""The words to be said, as the networks hear them and as the result will sound."""

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

from lipsmith.errors import InputError, UsageError
from lipsmith.media.sound import OVERSHOOT, resample
from lipsmith.speech.mel import HOP, SAMPLE_RATE, mel_spectrogram, mixed, stream_audio
from lipsmith.speech.voicing import raised, voicing

_PIECE: Final = 8 * SAMPLE_RATE
# Steps that a spectrum near the end of a piece may lack: 800 samples are 4 steps.
_EDGE: Final = 4


Samples = NDArray[np.floating[Any] | np.signedinteger[Any]]


@dataclass(frozen=True)
class Speech:
    """A recording of `seconds`: its `mel` `(80, steps)`, and either the file or the samples that will be heard.

    The networks hear a quiet recording louder than it is; the result sounds as it was given.
    """

    seconds: float
    mel: NDArray[np.float32]
    file: Path | None = None
    samples: NDArray[np.float32] | None = None
    """(channels, n) in [-1, 1]"""
    rate: int = SAMPLE_RATE

    @cached_property
    def voicing(self) -> NDArray[np.float64]:
        """How much of each step is speech, `(steps,)` in [0, 1]."""
        return voicing(self.mel)


def load_speech(speech: PathLike[str] | str | Samples | tuple[int, Samples], rate: int = SAMPLE_RATE) -> Speech:
    """Speech from any file with sound, or from samples `(n,)` or `(1 or 2, n)` at `rate` Hz.

    Samples are floats in [-1, 1] or signed whole numbers up to their type's full scale. A pair is taken for a rate and
    samples `(n,)` or `(n, 1 or 2)`, as pages with a microphone give them.

    Raises `InputError` where there is no sound or samples are not numbers, `UsageError` for another shape or rate.
    """
    if isinstance(speech, str | PathLike):
        samples, mel = streamed_mel(stream_audio(Path(speech), whole=True))
        if not samples:
            raise _of_no_length(Path(speech))
        return Speech(samples / SAMPLE_RATE, raised(mel), file=Path(speech))
    if isinstance(speech, tuple) and len(speech) == 2 and np.ndim(speech[0]) == 0:
        rate, speech = speech[0], np.transpose(speech[1])
    array = _array(speech)
    given = np.atleast_2d(_floating(array))
    if given.ndim != 2 or not 1 <= len(given) <= 2:
        raise UsageError(f"Speech of shape {array.shape} is neither (n,) nor (1 or 2, n); mix it down.")
    if not isinstance(rate, Real) or not 1000 <= rate < np.inf or rate != int(rate):
        raise UsageError(f"Speech at {rate} samples a second cannot be understood; give its true rate.")
    rate = int(rate)  # of any type of number: the encoder takes no other
    if not given.size or not np.isfinite(given).all():
        raise InputError("The speech holds no samples, or some that are not numbers; give a recording with speech.")
    given = np.clip(given, -1, 1)
    mel = mel_spectrogram(_sixteen_kilohertz(next(mixed([given])), rate))
    return Speech(given.shape[1] / rate, raised(mel), samples=given, rate=rate)


def _of_no_length(speech: Path | str) -> InputError:
    return InputError(f"{speech} has a sound track of no length; give a recording with speech.")


def streamed_mel(blocks: Iterable[NDArray[np.float32]]) -> tuple[int, NDArray[np.float32]]:
    """Number of samples and mel `(80, steps)` of a sound at 16 kHz in blocks `(n,)`, which is never held as a whole.

    Equal to `mel_spectrogram` of the whole: pieces reach over each other by more than one short-time spectrum.
    """
    pieces: list[NDArray[np.float32]] = []
    held, total, known = np.zeros(0, np.float32), 0, 0
    for block in blocks:
        held = np.concatenate([held, np.clip(block, -1, 1)])
        total += len(block)
        if len(held) >= _PIECE:
            mel = mel_spectrogram(held)
            whole = len(held) // HOP - _EDGE
            pieces.append(mel[:, known:whole])
            held, known = held[(whole - _EDGE) * HOP :], _EDGE
    pieces.append(mel_spectrogram(held)[:, known:])
    return total, np.concatenate(pieces, axis=1)


def _array(speech: object) -> NDArray[Any]:
    try:
        return np.asarray(speech)
    except ValueError as error:
        raise UsageError(f"Speech of type {type(speech).__name__} is no array of samples ({error}).") from error


def _floating(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples as float32, full scale at 1."""
    if samples.dtype.kind == "i":
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    if samples.dtype.kind != "f":
        raise UsageError(f"Speech of type {samples.dtype} is neither float nor signed; give floats in [-1, 1].")
    if samples.size and np.abs(samples).max() > OVERSHOOT:
        raise UsageError(f"Speech reaches {np.abs(samples).max():g}; scale it to floats in [-1, 1].")
    return samples.astype(np.float32)


def _sixteen_kilohertz(wave: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    if rate == SAMPLE_RATE:
        return wave
    blocks = (wave[None, begin : begin + _PIECE] for begin in range(0, len(wave), _PIECE))
    return np.concatenate([block[0] for block in resample(blocks, rate, SAMPLE_RATE, 1)])
