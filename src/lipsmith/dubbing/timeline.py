"""Which source frame is shown when: the footage plays forward and back until the speech has been said."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

_INSTANT: Final = 1e-6
_STILL: Final = 0.04  # seconds; a still picture is shown 25 times a second
_SLIDE: Final = 0.5  # seconds; footage whose frames usually stand longer than this shows still pictures
_ROUNDING: Final = 0.25  # a frame is shown once more when it stands for 1.75 usual intervals


@dataclass(frozen=True)
class Timeline:
    """Output frame i shows source frame `index[i]` from `times[i]` seconds on; the last one ends at `end`."""

    index: NDArray[np.intp]
    times: NDArray[np.float64]
    end: float

    def __len__(self) -> int:
        return len(self.index)

    @property
    def follows(self) -> NDArray[np.bool_]:
        """`(N,)`: whether a frame is the source's neighbor of the one before it (or the very same)."""
        steps = np.abs(np.diff(self.index)) <= 1
        return np.concatenate([[False], steps])


def usual_interval(times: NDArray[np.float64], rate: Fraction) -> float:
    """Seconds for which a frame of footage is shown that is no pause: the median, or that of a still picture."""
    if len(times) == 1:
        return float(1 / rate)
    median = float(np.median(np.diff(times)))
    return median if median <= _SLIDE else _STILL


def play(times: NDArray[np.float64], end: float, seconds: float) -> Timeline:
    """The frames that fill `seconds`: each that begins before they are over, so that the last ends at or after them.

    `times`: `(F,)`, rising, when the source's frames begin; `end`: when the last one ends. Footage that is too short
    turns back at its ends without showing the last frame twice, each interval as long as it is forward. A frame that
    stands is shown again at the usual interval, because a mouth may speak in it.
    """
    usual = usual_interval(times, 1 / Fraction(max(end - times[0], _INSTANT)))
    forward = np.diff(times) if len(times) > 1 else np.array([usual])
    # What is longer than the result is as good as endless.
    forward = np.minimum(forward, usual * np.ceil(seconds / usual + 1))
    last = len(times) - 1
    cycle = np.concatenate([np.arange(last + 1), np.arange(last - 1, 0, -1)])
    steps = np.concatenate([forward, forward[::-1]])[: len(cycle)]
    shown = np.maximum(1, np.floor(steps / usual + _ROUNDING)).astype(np.intp)
    cycle, steps = np.repeat(cycle, shown), np.repeat(steps / shown, shown)
    rounds = int(np.ceil(seconds / steps.sum())) + 1
    starts = np.concatenate([[0.0], np.cumsum(np.tile(steps, rounds))])
    frames = max(1, int(np.searchsorted(starts, seconds - _INSTANT)))
    natural = float(end - times[0]) if frames == shown[:last].sum() + 1 else float(starts[frames])
    return Timeline(
        np.resize(cycle, frames), starts[:frames], min(natural, max(seconds, float(starts[frames - 1]) + usual))
    )
