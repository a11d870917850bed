"""Footage that can be shown in any order: forward while it lasts, backward when the speech is longer."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.options import check_stretch
from lipsmith.errors import InputError, UsageError
from lipsmith.media import Frame, VideoInfo, probe, read_frames

if TYPE_CHECKING:
    from PIL.Image import Image

_LOG = logging.getLogger(__name__)

# Decoded frames that playing backward may hold: less means more seeks, each of which decodes from a key frame on.
BUDGET: Final = 96 << 20
STILL_RATE: Final = Fraction(25)

Frames = Sequence[NDArray[np.uint8]] | Sequence["Image"] | NDArray[np.uint8]
"""Footage in memory: RGB uint8 arrays `(H, W, 3)` or Pillow's pictures, of one size."""

_AGES: Final = 1e9  # seconds; no footage lasts longer, and larger numbers overflow


@dataclass(frozen=True)
class Footage:
    """What the frames are, whatever holds them."""

    name: str
    rate: Fraction
    """Frames a second."""
    frames: int | None
    """About how many the stretch has; None where nobody can tell."""
    info: VideoInfo | None = None
    """The file's, if it is one."""


class Source(Protocol):
    """A stretch of footage."""

    footage: Footage

    def frames(self) -> Iterator[Frame]:
        """Every frame in order; `index` counts from 0, `time` is the footage's own."""
        ...

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        """The images `(H, W, 3)` of the frames numbered `order`, a walk in which neighbors differ by 1 at most.

        `times`: `(F,)` of all frames of the stretch, as `frames` gave them.
        """
        ...


class FileSource:
    """A film, animation or still picture between two times."""

    def __init__(self, path: Path, start: float | None = None, end: float | None = None) -> None:
        check_stretch(start, end)
        end = _finite(end)
        self._path, self._start, self._end = path, start or 0.0, end
        info = probe(path)
        for remark in info.remarks:
            _LOG.info(remark)
        rate = STILL_RATE if info.is_still else info.rate
        self._even = None if info.is_still or info.variable_rate else rate
        self.footage = Footage(str(path), rate, _expected(info, self._start, end), info)

    def frames(self) -> Iterator[Frame]:
        """Every frame in order."""
        return self._read(self._start, self._end, "choose an earlier --start")

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        """Images in the order of a walk; runs forward are streamed, runs backward come in decoded blocks."""
        held: NDArray[np.uint8] | None = None
        for run in runs(order):
            if run[0] <= run[-1]:
                images = self._forward(run, times)
            else:
                room = BUDGET // held.nbytes if held is not None else 1
                images = self._backward(run, times, max(1, room))
            for image in images:
                held = image
                yield image

    def _forward(self, run: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        stretch = _held(self._between(int(run[0]), int(run[-1]), times), run, times)
        return (image for _, image in stretch)

    def _backward(self, run: NDArray[np.intp], times: NDArray[np.float64], room: int) -> Iterator[NDArray[np.uint8]]:
        for begin in range(0, len(run), room):
            block = np.sort(run[begin : begin + room])
            stretch = _held(self._between(int(block[0]), int(block[-1]), times), block, times)
            images = [image for _, image in stretch]
            yield from reversed(images)

    def _between(self, first: int, last: int, times: NDArray[np.float64]) -> Iterator[Frame]:
        # Half a frame early and late, so that a time rounded differently loses no frame.
        early = (times[first] - times[first - 1]) / 2 if first else 0.0
        end = (times[last] + times[last + 1]) / 2 if last + 1 < len(times) else self._end
        start = max(self._start, float(times[first] - early))
        return self._read(start, end, "it had when first read, so it was changed or its clock jumps; copy it to an MP4")

    def _read(self, start: float, end: float | None, remedy: str) -> Iterator[Frame]:
        """At least one frame."""
        frames = read_frames(self._path, start, end, self._even)
        first = next(frames, None)
        if first is None:
            raise InputError(f"{self._path} has no frame from {start:g} s on; {remedy}.")
        yield first
        yield from frames


class ArraySource:
    """Frames in memory, `(H, W, 3)` uint8 RGB of one size."""

    def __init__(
        self,
        images: Frames,
        rate: float,
        start: float | None = None,
        end: float | None = None,
    ) -> None:
        check_stretch(start, end)
        end = _finite(end)
        rate = _frame_rate(rate)
        if not hasattr(images, "__len__"):
            kind = type(images).__name__
            reason = (
                "cannot be read twice"
                if isinstance(images, Iterator) and not hasattr(images, "read")
                else "is neither a path nor frames"
            )
            raise UsageError(f"Footage of type {kind} {reason}; give a path or a list of frames.")
        if not len(images):
            raise InputError("The footage is an empty sequence; give at least one frame.")
        images = [_array(image) for image in images] if not isinstance(images, np.ndarray) else images
        first = images[0].shape
        if len(first) != 3 or first[2] != 3 or any(i.shape != first or i.dtype != np.uint8 for i in images):
            raise InputError("The footage is not a sequence of RGB uint8 arrays (H, W, 3) of one size; convert it.")
        last = None if end is None else int(np.ceil(end * rate - 1e-6))
        begin = int(np.ceil((start or 0.0) * rate - 1e-6))
        self._images = images[begin:last]
        if not len(self._images):
            raise InputError(f"The footage has no frame from {start:g} s on; choose an earlier start.")
        self._first = begin / rate
        self.footage = Footage("the footage", Fraction(rate).limit_denominator(1001 * 240), len(self._images))

    def frames(self) -> Iterator[Frame]:
        """Every frame in order."""
        step = float(1 / self.footage.rate)
        for index, image in enumerate(self._images):
            yield Frame(image, self._first + index * step, index)

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        """Images in the order of a walk."""
        return (self._images[index] for index in order)


def open_source(
    video: PathLike[str] | str | Frames,
    rate: float = 25.0,
    start: float | None = None,
    end: float | None = None,
) -> Source:
    """The footage between two times, of a file or of frames in memory at `rate` frames a second."""
    if isinstance(video, str | PathLike):
        return FileSource(Path(video), start, end)
    return ArraySource(video, rate, start, end)


def _finite(end: float | None) -> float | None:
    """An endless stretch is one without an end."""
    return None if end is None or math.isinf(end) else end


def _frame_rate(rate: float) -> float:
    """Any real number of frames a second as a float. Raises `UsageError` for anything else."""
    try:
        number = float(rate)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"Frame rate {rate} is not a number above 0; give the footage's frames per second.")
    return number


def _array(image: object) -> NDArray[Any]:
    """A frame as an array; Pillow's pictures are made RGB."""
    convert = getattr(image, "convert", None)
    try:
        return np.asarray(convert("RGB") if callable(convert) else image)
    except ValueError as error:
        raise InputError(f"A frame of type {type(image).__name__} is no picture ({error}); give arrays.") from error


def _expected(info: VideoInfo, start: float, end: float | None) -> int | None:
    if info.frames is None or (start == 0 and end is None):
        return info.frames
    last = info.frames if end is None else min(info.frames, round(min(end, _AGES) * info.rate))
    return max(1, last - round(min(start, _AGES) * info.rate))


def runs(order: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """A walk as stretches that go one way each: 0 1 2 1 0 1 as 0 1 2, then 1 0, then 1.

    Standing still goes along either way.
    """
    begin, way = 0, 0
    for place in range(1, len(order)):
        step = int(np.sign(order[place] - order[place - 1]))
        if step * way < 0:
            yield order[begin:place]
            begin = place
        way = step or way
    if len(order):
        yield order[begin:]


def _held(
    frames: Iterator[Frame], wanted: NDArray[np.intp], times: NDArray[np.float64]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames numbered `wanted` (never falling), each as often as it is wanted.

    A second decoding of a damaged film may lack a frame: the one before it then stands in.
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
    """The frame whose time is nearest."""
    if len(times) == 1:
        return 0
    right = int(np.clip(np.searchsorted(times, time), 1, len(times) - 1))
    return right - int(time - times[right - 1] < times[right] - time)
