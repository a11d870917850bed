"""Computes the order in which footage plays: forward, and what follows if the speech is longer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

# Media libraries are imported where they are used: `lipsmith dub --help` needs this module, but not them.
if TYPE_CHECKING:
    from lipsmith.dubbing.source import Footage
    from lipsmith.media.container import Chapter

Fit = Literal["bounce", "loop", "hold", "stretch", "cut"]
"""What footage does that is shorter than the speech."""

_INSTANT: Final = 1e-6
_STILL: Final = 0.04  # seconds; a still picture is shown 25 times a second
_SLIDE: Final = 0.5  # seconds; footage with longer typical frames is a slide show of still pictures
ROUNDING: Final = 0.25  # a frame is repeated if it lasts at least 1.75 usual intervals


@dataclass(frozen=True)
class Timeline:
    """Output frame i shows source frame `index[i]` from `times[i]` seconds on; the last one ends at `end`."""

    index: NDArray[np.intp]
    times: NDArray[np.float64]
    end: float
    speed: float = 1.0
    """Seconds of the footage that play in a second."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def follows(self) -> NDArray[np.bool_]:
        """`(N,)`: whether a frame is the same source frame as the previous one or a neighbor of it."""
        steps = np.abs(np.diff(self.index)) <= 1
        return np.concatenate([[False], steps])


def chapters_of(footage: Footage, times: NDArray[np.float64], timeline: Timeline) -> list[Chapter]:
    """The footage's chapters if it plays once; `times` as in `Source.show`."""
    if footage.info is None or (np.diff(timeline.index) < 0).any():
        return []
    begin, speed = float(times[0]), timeline.speed
    from lipsmith.media.container import chapters_between

    inside = chapters_between(footage.info.chapters, begin, begin + timeline.end * speed)
    return [replace(chapter, start=chapter.start / speed, end=chapter.end / speed) for chapter in inside]


def duration(times: NDArray[np.float64], rate: Fraction) -> float:
    """Seconds that footage lasts; its last frame lasts as long as most others."""
    return float(times[-1] - times[0]) + _typical_interval(times, rate)


def usual_interval(times: NDArray[np.float64], rate: Fraction) -> float:
    """Seconds for which a frame is shown: the typical interval of the footage, or that of a still picture."""
    typical = _typical_interval(times, rate)
    return typical if typical <= _SLIDE or len(times) == 1 else _STILL


def _typical_interval(times: NDArray[np.float64], rate: Fraction) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else float(1 / rate)


def play(times: NDArray[np.float64], own: float, seconds: float, fit: Fit = "bounce") -> Timeline:
    """The frames that fill `seconds`: all frames that begin before the end, so that the last one ends at or after it.

    `times`: `(F,)`, rising, start times of the source's frames; `own`: seconds that they last. If the footage is too
    short, `fit` decides: bounce reverses at the ends without repeating the end frame, with the same intervals as
    forward; loop starts again; hold repeats the last frame; stretch plays more slowly, at the usual interval; cut ends
    with the footage (a single frame never ends). A long frame is repeated at the usual interval: the mouth may move.
    """
    last = len(times) - 1
    usual = usual_interval(times, 1 / Fraction(max(own, _INSTANT)))
    seconds = min(seconds, own) if fit == "cut" and last else seconds
    if fit == "stretch" and seconds > own + _INSTANT and last:
        return _stretched(times, own, seconds, usual)
    # Anything longer than the result counts as endless.
    intervals = np.minimum(np.diff(times, append=times[0] + own), usual * np.ceil(seconds / usual + 1))
    order, steps = _order(fit, intervals[:-1], float(intervals[-1]), usual, max(0.0, seconds - own))
    shown = np.maximum(1, np.floor(steps / usual + ROUNDING)).astype(np.intp)
    order, steps = np.repeat(order, shown), np.repeat(steps / shown, shown)
    rounds = int(np.ceil(seconds / steps.sum())) + 1
    starts = np.concatenate([[0.0], np.cumsum(np.tile(steps, rounds))])
    frames = max(1, int(np.searchsorted(starts, seconds - _INSTANT)))
    end = min(float(starts[frames]), max(seconds, float(starts[frames - 1]) + usual))
    return Timeline(np.resize(order, frames), starts[:frames], end)


def _order(
    fit: Fit, forward: NDArray[np.float64], closing: float, usual: float, missing: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The order of the source's frames until it repeats, and the interval after each frame.

    `forward`: intervals between the source's frames; `closing`: after the last one; `missing`: seconds to fill.
    """
    ahead = np.arange(len(forward) + 1)
    if not len(forward):
        return ahead, np.array([usual])
    if fit == "loop" or missing < _INSTANT:
        return ahead, np.append(forward, closing)
    if fit == "hold":
        standing = np.full(int(np.ceil(missing / usual)), len(forward))
        return np.append(ahead, standing), np.concatenate([forward, [closing], np.full(len(standing), usual)])
    return np.concatenate([ahead, ahead[-2:0:-1]]), np.concatenate([forward, forward[::-1]])


def _stretched(times: NDArray[np.float64], own: float, seconds: float, usual: float) -> Timeline:
    starts = np.float64(usual) * np.arange(int(np.ceil(seconds / usual - _INSTANT)))
    index = np.searchsorted(times - times[0], starts * (own / seconds) + _INSTANT, side="right") - 1
    return Timeline(index, starts, max(seconds, float(starts[-1]) + _INSTANT), own / seconds)
