"""Which source frame is shown when: the footage plays forward and back until the speech has been said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_INSTANT = 1e-6


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
        """`(N,)`: whether a frame is the source's neighbour of the one before it (or the very same)."""
        steps = np.abs(np.diff(self.index)) <= 1
        return np.concatenate([[False], steps])


def play(times: NDArray[np.float64], end: float, seconds: float) -> Timeline:
    """The frames that fill `seconds`: each that begins before they are over, so that the last ends at or after them.

    `times`: `(F,)`, rising, when the source's frames begin; `end`: when the last one ends. Footage that is too short
    turns back at its ends without showing the last frame twice, each interval as long as it is forward. A last frame
    that stands longer than frames do on average ends with `seconds`.
    """
    if len(times) == 1:
        steps = np.array([max(end - times[0], _INSTANT)])
        cycle = np.zeros(1, np.intp)
    else:
        forward = np.diff(times)
        steps = np.concatenate([forward, forward[::-1]])
        cycle = np.concatenate([np.arange(len(times)), np.arange(len(times) - 2, 0, -1)])
    rounds = int(np.ceil(seconds / steps.sum())) + 1
    starts = np.concatenate([[0.0], np.cumsum(np.tile(steps, rounds))])
    frames = max(1, int(np.searchsorted(starts, seconds - _INSTANT)))
    natural = _end(starts, frames, times, end)
    last = min(natural, max(seconds, float(starts[frames - 1] + steps.mean())))
    return Timeline(np.resize(cycle, frames), starts[:frames], last)


def _end(starts: NDArray[np.float64], frames: int, times: NDArray[np.float64], end: float) -> float:
    """The last source frame lasts as long as it did; any other, until the next would begin."""
    if frames == len(times):
        return float(end - times[0])
    return float(starts[frames])
