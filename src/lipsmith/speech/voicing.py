"""Closed lips where nobody speaks: a network that has only seen speech keeps moving them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import INNER_LIP, JAW, NUM_JAW, OUTER_LIP, Floats
from lipsmith.face.references import parts
from lipsmith.speech.mel import MEL_LIMIT, MEL_RATE

# A step this far below the loud ones (decibels) is a pause; so is all that lies below the quietest speech of all.
_QUIETER: Final = 38.0
_INAUDIBLE: Final = -75.0
# Steps this close (decibels) to what is reached for a quarter second in all are of speech: neither the silence around
# few words nor a click tells how loud they are.
_SPREAD: Final = 20.0
_BURST: Final = round(MEL_RATE / 4)
# So loud are the loud parts of three quarters of the recordings that the networks learned from.
_USUAL: Final = -46.0
# The silence before a plosive is shorter than this, and is part of the word.
_SHORTEST_PAUSE: Final = 0.25
# Syllables make the loudness of speech rise and fall; where it stays within this deviation (decibels, from surely
# noise to surely speech) for so many seconds before or after, it is a hum, a fan or a hiss.
_STEADY: Final = (0.8, 1.4)
_STEADY_SECONDS: Final = 0.75
# Lips go on moving after the sound stops, and begin before it.
_OVERHANG: Final = 0.1
_EASE: Final = 0.05

_DB_PER_UNIT: Final = 12.5
# The lower jaw carries the lower lip; the upper lip does the rest.
_LOWER_SHARE: Final = 0.75

_UPPER: Final = np.arange(1, 10)
_LOWER: Final = 20 - _UPPER
_OUTER_FROM: Final = NUM_JAW
_INNER_FROM: Final = NUM_JAW + len(OUTER_LIP)
_JAW_REACH: Final = np.sin(np.linspace(0, np.pi, len(JAW)))


def voicing(mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much of each step of `mel` `(80, steps)` is speech, `(steps,)` in [0, 1].

    Pauses of a quarter second and more, and steady noise, are 0.
    """
    level = loudness(mel)
    threshold = max(_INAUDIBLE, _loud(level) - _QUIETER)
    noise = np.clip((_STEADY[1] - unrest(level)) / (_STEADY[1] - _STEADY[0]), 0, 1)
    voiced = _without_short_pauses(level > threshold) * (1 - noise)
    ease = _EASE * MEL_RATE
    reach = np.arange(-round(3 * ease), round(3 * ease) + 1)
    kernel = np.exp(-0.5 * (reach / ease) ** 2)
    return np.convolve(np.pad(voiced, len(reach) // 2, mode="edge"), kernel / kernel.sum(), "valid")


def speaking(voiced: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each frame is speech, `(F,)` in [0, 1], by the `voicing` `(steps,)` of the sound.

    `times`: `(F,)` seconds from the start of the sound; outside the recording nobody speaks.
    """
    steps = np.arange(len(voiced))
    return np.asarray(np.interp(np.asarray(times) * MEL_RATE, steps, voiced, left=voiced[0], right=0.0))


def raised(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """`mel` `(80, steps)` of a recording, made as loud as the networks know speech where it is quieter.

    Digital silence stays what it is, and a recording in which nothing is audible stays too.
    """
    loud = _loud(loudness(mel))
    if not _INAUDIBLE < loud < _USUAL:
        return mel
    gain = np.float32((_USUAL - loud) / _DB_PER_UNIT)
    return np.where(mel > -MEL_LIMIT, np.minimum(mel + gain, MEL_LIMIT), mel)


def loudness(mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean power of all bands in decibels, `(steps,)`, of a scaled spectrogram `(80, steps)`."""
    level = np.empty(mel.shape[1])
    for part in parts(mel.shape[1]):
        decibels = (mel[:, part].astype(np.float64) + 4) * _DB_PER_UNIT - 100
        level[part] = 10 * np.log10((10 ** (decibels / 10)).mean(0))
    return level


def unrest(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of the loudness `(steps,)` shortly before or shortly after each step, whichever is less."""
    span = min(round(_STEADY_SECONDS * MEL_RATE), len(level) - 1)
    if span < 2:
        return np.full(len(level), np.inf)
    around = np.pad(level, span, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(around, span)
    deviation = np.concatenate([windows[part].std(1) for part in parts(len(windows))])
    return np.asarray(np.minimum(deviation[: len(level)], deviation[-len(level) :]))


def close_lips(content: Floats, amount: NDArray[np.float64], rest: float) -> NDArray[np.float32]:
    """Mouths `(F, 57, 2)` closed by `amount` `(F,)`: 0 leaves them, 1 closes to the opening `rest` or what they have.

    The lower lip rises by three quarters of the way and takes the chin along; the upper lip comes down the rest.
    """
    moved = np.array(content, np.float32)
    gap = moved[:, _INNER_FROM + _LOWER] - moved[:, _INNER_FROM + _UPPER]
    middle = np.linalg.norm(gap[:, 4], axis=-1)
    share = amount * np.clip(1 - rest / np.maximum(middle, 1e-9), 0, 1)
    step = gap * share[:, None, None]
    for begin in (_OUTER_FROM, _INNER_FROM):
        moved[:, begin + _LOWER] -= _LOWER_SHARE * step
        moved[:, begin + _UPPER] += (1 - _LOWER_SHARE) * step
    moved[:, :NUM_JAW] -= _LOWER_SHARE * _JAW_REACH[:, None] * step[:, 4:5]
    return moved


def resting_opening(points: Floats) -> float:
    """How far apart the inner lips of references `(N, 131, 2)` are when nearly the most closed."""
    inner = points[:, -len(INNER_LIP) :]
    return float(np.percentile(np.linalg.norm(inner[:, 15] - inner[:, 5], axis=-1), 10))


def _loud(level: NDArray[np.float64]) -> float:
    """The loudness `(steps,)` of the loud parts, however long the recording is silent beside them."""
    top = np.sort(level)[-_BURST:][0]
    return float(np.percentile(level[level >= top - _SPREAD], 95))


def _without_short_pauses(voiced: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pauses of less than a quarter second count as speech, longer ones shrink by the overhang at both ends."""
    filled = voiced.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], voiced, [True]]).astype(int)))
    for begin, stop in edges.reshape(-1, 2):
        if begin > 0 and stop < len(voiced) and stop - begin < _SHORTEST_PAUSE * MEL_RATE:
            filled[begin:stop] = True
            continue
        overhang = round(_OVERHANG * MEL_RATE)
        filled[begin : begin + overhang] |= begin > 0
        filled[max(begin, stop - overhang) : stop] |= stop < len(voiced)
    return filled
