"""Reads footage between two times, in any order."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError, UsageError

# Media libraries are imported where they are used: `lipsmith dub --help` needs this module, but not them.
if TYPE_CHECKING:
    from PIL.Image import Image

    from lipsmith.media import Frame, VideoInfo
    from lipsmith.media.color import Picture

_LOG = logging.getLogger(__name__)

# Bytes of decoded frames held for backward playback; less means more seeks, each of which decodes from a key frame.
BUDGET: Final = 96 << 20
STILL_RATE: Final = Fraction(25)

Frames = Sequence[NDArray[np.uint8]] | Sequence["Image"] | NDArray[np.uint8]
"""Footage in memory: RGB uint8 arrays `(H, W, 3)` or Pillow images, of one size."""
Video = PathLike[str] | str | Frames

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
        end = finite(end)
        self._path, self._start, self._end = path, start or 0.0, end
        from lipsmith.media import probe

        info = probe(path)
        for remark in info.remarks:
            _LOG.info(remark)
        rate = STILL_RATE if info.is_still else info.rate
        self._even = None if info.is_still or info.variable_rate else rate
        self.footage = Footage(str(path), rate, _expected(info, self._start, end), info)

    def frames(self) -> Iterator[Frame]:
        """Every frame in order."""
        return self._read(self._start, self._end, "choose an earlier --start or a later --end")

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
        """Images in the order of a walk; runs forward are streamed, runs backward come in decoded blocks."""
        held: Picture | None = None
        for run in runs(order):
            if run[0] <= run[-1]:
                images = self._forward(run, times)
            else:
                room = BUDGET // held.nbytes if held is not None else 1
                images = self._backward(run, times, max(1, room))
            for image in images:
                held = image
                yield image

    def _forward(self, run: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
        stretch = _held(self._between(int(run[0]), int(run[-1]), times), run, times)
        return (image for _, image in stretch)

    def _backward(self, run: NDArray[np.intp], times: NDArray[np.float64], room: int) -> Iterator[Picture]:
        for begin in range(0, len(run), room):
            block = np.sort(run[begin : begin + room])
            stretch = _held(self._between(int(block[0]), int(block[-1]), times), block, times)
            images = [image for _, image in stretch]
            yield from reversed(images)

    def _between(self, first: int, last: int, times: NDArray[np.float64]) -> Iterator[Frame]:
        first = max(0, first - _EARLY)
        # Half a frame of margin, so that different rounding of times loses no frame.
        early = (times[first] - times[first - 1]) / 2 if first else 0.0
        end = (times[last] + times[last + 1]) / 2 if last + 1 < len(times) else self._end
        start = max(self._start, float(times[first] - early))
        return self._read(
            start, end, "it had one when first read, so it was changed or its clock jumps; convert it to MP4"
        )

    def _read(self, start: float, end: float | None, remedy: str) -> Iterator[Frame]:
        """At least one frame."""
        from lipsmith.media import read_frames

        frames = read_frames(self._path, start, end, self._even, as_filmed=True)
        first = next(frames, None)
        if first is None:
            raise InputError(f"{self._path} has no frame from {start:g} s on; {remedy}.")
        yield first
        yield from frames


def check_stretch(start: float | None, end: float | None) -> None:
    """Raise `UsageError` for an invalid or empty range of seconds."""
    if start is not None and not 0 <= start < math.inf:
        raise UsageError(f"The start, {start:g} s, is outside of any footage; choose 0 or later.")
    if end is not None and not end > (start or 0):
        raise UsageError(f"The end, {end:g} s, is not after the start, {start or 0:g} s; choose a later end.")


def finite(end: float | None) -> float | None:
    """`end`, or None if it is infinite."""
    return None if end is None or math.isinf(end) else end


def _expected(info: VideoInfo, start: float, end: float | None) -> int | None:
    if info.frames is None or (start == 0 and end is None):
        return info.frames
    last = info.frames if end is None else min(info.frames, round(min(end, _AGES) * info.rate))
    return max(1, last - round(min(start, _AGES) * info.rate))


def runs(order: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Splits `order` into runs in one direction: 0 1 2 1 0 1 into 0 1 2, then 1 0, then 1; 0 1 0 1 into twice 0 1.

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


def _held(
    frames: Iterator[Frame], wanted: NDArray[np.intp], times: NDArray[np.float64]
) -> Iterator[tuple[int, Picture]]:
    """The frames numbered `wanted` (never falling), each as often as it is wanted.

    A second decoding of a damaged film may lack a frame, which the previous one then replaces.
    """
    place, last = 0, None
    for frame in frames:
        number = _number(times, frame.time)
        while place < len(wanted) and last is not None and wanted[place] < number:
            yield int(wanted[place]), last
            place += 1
        last = frame.image
        while place < len(wanted) and wanted[place] <= number:
            yield int(wanted[place]), last
            place += 1
        if place == len(wanted):
            return
    while place < len(wanted) and last is not None:
        yield int(wanted[place]), last
        place += 1


def _number(times: NDArray[np.float64], time: float) -> int:
    """Number of the frame with the nearest time."""
    if len(times) == 1:
        return 0
    right = int(np.clip(np.searchsorted(times, time), 1, len(times) - 1))
    return right - int(time - times[right - 1] < times[right] - time)
