"""Reads footage between two times, in any order, and computes the order in which it plays."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError, UsageError

# Media libraries are imported where they are used: `lipsmith dub --help` needs this module, but not them.
if TYPE_CHECKING:
    from PIL.Image import Image

    from lipsmith.media import Frame, VideoInfo
    from lipsmith.media.color import Picture
    from lipsmith.media.container import Chapter

_LOG = logging.getLogger(__name__)

# Bytes of decoded frames held for backward playback; less means more seeks, each of which decodes from a key frame.
BUDGET: Final = 96 << 20
STILL_RATE: Final = Fraction(25)
Frames = Sequence[NDArray[np.uint8]] | Sequence["Image"] | NDArray[np.uint8]
"""Footage in memory: RGB uint8 arrays `(H, W, 3)` or Pillow images, of one size."""
Video = PathLike[str] | str | Frames
Fit = Literal["bounce", "loop", "hold", "stretch", "cut"]
"""What footage does that is shorter than the speech."""

_INSTANT: Final = 1e-6
_SLIDE: Final = 0.5  # seconds; footage with longer typical frames is a slide show of still pictures
ROUNDING: Final = 0.25  # a frame is repeated if it lasts at least 1.75 usual intervals
_EVEN: Final = 0.05  # deviation of the usual from the average interval, as a fraction, up to which frames are even
_EARLY: Final = 2  # frames that deinterlacing needs before the first requested one
_AGES: Final = 1e9  # seconds; no footage lasts longer, and larger numbers overflow


@dataclass(frozen=True)
class Footage:
    """Properties of footage, independent of its source."""

    name: str
    rate: Fraction
    """Frames a second."""
    frames: int | None
    """Estimated number of frames; None if unknown."""
    info: VideoInfo | None = None
    """Properties of the file, if the footage is a file."""


class Source(Protocol):
    """A part of footage between two times."""

    footage: Footage

    def frames(self) -> Iterator[Frame]:
        """Every frame in order; `index` counts from 0, `time` is on the footage's clock."""
        ...

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
        """The images `(H, W, 3)` of the frames numbered `order`, a walk in which neighbors differ by 1 at most.

        `times`: `(F,)` of all frames, from `frames`.
        """
        ...


class FileSource:
    """A film, animation or still picture between two times."""

    def __init__(self, path: Path, start: float | None = None, end: float | None = None) -> None:
        check_stretch(start, end)
        self._path, self._start, self._end = path, start or 0.0, end
        from lipsmith.media import probe

        info = probe(path)
        for remark in info.remarks:
            _LOG.info(remark)
        rate = STILL_RATE if info.is_still else info.rate
        self._even = None if info.is_still or info.variable_rate else rate
        self._stat = path.stat()
        self.footage = Footage(str(path), rate, _expected(info, self._start, self._end), info)

    def frames(self) -> Iterator[Frame]:
        """Every frame in order."""
        return self._read(self._start, self._end, "choose an earlier start or a later end")

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
        """Images in the order of a walk; runs forward are streamed, runs backward come in decoded blocks."""
        last: Picture | None = None
        for run in runs(order):
            images = self._forward(run, times) if run[0] <= run[-1] else self._backward(run, times, last)
            for last in images:
                yield last

    def _forward(self, run: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
        return _held(self._between(int(run[0]), int(run[-1]), times), run, times)

    def _backward(self, run: NDArray[np.intp], times: NDArray[np.float64], last: Picture | None) -> Iterator[Picture]:
        """In blocks of as many pictures of the size of the `last` one as there is room for; without one, a first block
        of one picture tells their size."""
        while len(run):
            room = max(1, BUDGET // last.nbytes) if last is not None else 1
            for last in [*self._forward(run[:room][::-1], times)][::-1]:
                yield last
            run = run[room:]

    def _between(self, first: int, last: int, times: NDArray[np.float64]) -> Iterator[Frame]:
        first = max(0, first - _EARLY)
        # Half a frame of margin, so that different rounding of times loses no frame.
        early = (times[first] - times[first - 1]) / 2 if first else 0.0
        end = (times[last] + times[last + 1]) / 2 if last + 1 < len(times) else self._end
        remedy = "it had one when first read, so it was changed or its clock jumps; convert it to MP4"
        return self._read(float(times[first] - early), end, remedy)

    def _read(self, start: float, end: float | None, remedy: str) -> Iterator[Frame]:
        """At least one frame."""
        from lipsmith.media import read_frames

        frames = read_frames(self._path, start, end, self._even, as_filmed=True)
        first = next(frames, None)
        if first is None:
            raise InputError(f"{self._path} has no frame from {start:g} s on; {remedy}.")
        if (now := self._path.stat()).st_mtime_ns != self._stat.st_mtime_ns or now.st_size != self._stat.st_size:
            raise InputError(f"{self._path} has changed since it was opened; prepare it again.")
        yield first
        yield from frames


def check_stretch(start: float | None, end: float | None) -> None:
    """Raise `UsageError` for an invalid or empty range of seconds."""
    if start is not None and not 0 <= start < math.inf:
        raise UsageError(f"The start, {start:g} s, is outside of any footage; choose 0 or later.")
    if end is not None and not end > (start or 0):
        raise UsageError(f"The end, {end:g} s, is not after the start, {start or 0:g} s; choose a later end.")


def _expected(info: VideoInfo, start: float, end: float | None) -> int | None:
    if info.frames is None or (start == 0 and end is None):
        return info.frames
    last = info.frames if end is None else min(info.frames, round(min(end, _AGES) * info.rate))
    return max(1, last - round(min(start, _AGES) * info.rate))


def runs(order: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Splits `order` into runs in one direction: 0 1 2 1 0 1 into 0 1 2, 1 0 and 1; 0 1 2 0 1 2 into twice 0 1 2.

    Repeated frames belong to a run in either direction.
    """
    begin, way = 0, 0
    for place in range(1, len(order)):
        step = int(order[place] - order[place - 1])
        if step * way < 0:
            yield order[begin:place]
            begin = place
        way = 0 if step < -1 else step or way
    if len(order):
        yield order[begin:]


def _held(frames: Iterator[Frame], wanted: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
    """The images numbered `wanted` (never falling), each as often as it is wanted.

    A second decoding of a damaged film may lack a frame, which the previous one then replaces.
    """
    place, last = 0, None
    for frame in frames:
        number = _number(times, frame.time)
        while place < len(wanted) and last is not None and wanted[place] < number:
            yield last
            place += 1
        last = frame.image
        while place < len(wanted) and wanted[place] <= number:
            yield last
            place += 1
        if place == len(wanted):
            return
    while place < len(wanted) and last is not None:
        yield last
        place += 1


def _number(times: NDArray[np.float64], time: float) -> int:
    """Number of the frame with the nearest time."""
    if len(times) == 1:
        return 0
    right = int(np.clip(np.searchsorted(times, time), 1, len(times) - 1))
    return right - int(time - times[right - 1] < times[right] - time)


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
        return np.concatenate([[False], np.abs(np.diff(self.index)) <= 1])


def chapters_of(footage: Footage, times: NDArray[np.float64], timeline: Timeline) -> list[Chapter]:
    """The footage's chapters if it plays once; `times` as in `Source.show`."""
    from lipsmith.media.container import chapters_between

    if footage.info is None or (np.diff(timeline.index) < 0).any():
        return []
    begin, speed = float(times[0]), timeline.speed
    inside = chapters_between(footage.info.chapters, begin, begin + timeline.end * speed)
    return [replace(chapter, start=chapter.start / speed, end=chapter.end / speed) for chapter in inside]


def duration(times: NDArray[np.float64], footage: Footage) -> float:
    """Seconds that footage lasts: its last frame as long as most others, or longer, as a whole animation may say."""
    usual, info = float(times[-1] - times[0]) + _typical_interval(times, footage.rate), footage.info
    if info is None or not info.variable_rate or info.frames != len(times):
        return usual
    return max(usual, info.duration or 0.0)


def usual_interval(times: NDArray[np.float64], rate: Fraction) -> float:
    """Seconds for which a frame is shown: the typical interval of the footage, or that of a still picture."""
    typical = _typical_interval(times, rate)
    return typical if typical <= _SLIDE else float(1 / STILL_RATE)


def shown_rate(times: NDArray[np.float64], rate: Fraction) -> Fraction:
    """Frames a second of what is shown: the footage's average `rate`, or the usual one where long frames lower it."""
    usual = usual_interval(times, rate)
    return rate if abs(usual * rate - 1) < _EVEN else Fraction(1 / usual).limit_denominator(1000)


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
    # Not a rounding error before the end of the speech, which would be faded out as if it were cut.
    end = max(seconds, min(float(starts[frames]), float(starts[frames - 1]) + usual))
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
    return Timeline(index, starts, seconds, own / seconds)
