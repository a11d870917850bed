"""Frames of a film, one after the other, each with its exact time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.frame import VideoFrame

from lipsmith.errors import InputError
from lipsmith.media.color import FrameToRGB
from lipsmith.media.container import check_readable, clock, open_input, require_video, seconds
from lipsmith.media.decoding import decoded_video
from lipsmith.media.orientation import orientation_of
from lipsmith.media.pictures import read_picture
from lipsmith.media.rate import evened

if TYPE_CHECKING:
    from av.container.input import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_CLOSE = 1e-6  # seconds; times that differ by less are equal
_SEEK_FROM = 5.0  # seconds; decoding less than this is as quick as seeking
_BACK = (0.0, 2.0, 8.0, 32.0)  # seconds; without an index of key frames, seeking arrives anywhere, mostly too late
_UNSURE = {"avi", "mpeg", "mpegts"}  # they hold a time for some frames only, or not that of showing
_SETTLING = 2.0  # seconds; after seeking in these, the times guessed for the first frames are off


@dataclass(frozen=True)
class Frame:
    """One picture of a film."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB, upright, contiguous."""
    time: float
    """Seconds from the first frame of the film."""
    index: int
    """Number of the frame among those that were asked for, from 0."""


def read_frames(
    path: Path | str, start: float = 0.0, end: float | None = None, rate: Fraction | None = None
) -> Iterator[Frame]:
    """The frames of a film, an animation or a still picture (one frame, at time 0), shown upright.

    Holds a few frames at any time, however long the film. Damaged stretches are skipped with a warning.

    Args:
        path: any file that libav reads.
        start: seconds from the first frame; earlier frames are left out.
        end: seconds from the first frame; frames at this time or later are left out.
        rate: frames a second of a film of constant rate, to which times are put back that its clock has rounded.

    Raises:
        InputError: the file is missing, empty, has no picture, or not one frame of it can be decoded.
    """
    path = Path(path)
    check_readable(path)
    if (picture := read_picture(path)) is not None:
        if start <= _CLOSE and (end is None or end > _CLOSE):
            yield Frame(picture.image, 0.0, 0)
        return
    with _opened(path) as (container, stream):
        timed = _timed(container, stream, path, start)
        if rate is not None:
            timed = evened(timed, rate, clock(stream))
        first, _ = next(timed)
        # A film may change its size or its turn midway: all of it, wherever reading begins, is shown as it began.
        to_rgb, turn = FrameToRGB((first.width, first.height)), orientation_of(first)
        index = 0
        for raw, time in chain([(first, 0.0)], timed):
            if end is not None and time >= end - _CLOSE:
                break
            if time >= start - _CLOSE:
                yield Frame(turn.upright(to_rgb(raw)), time, index)
                index += 1


def first_time(path: Path) -> float | None:
    """When the first picture is shown, in seconds of the file's own clock; None if there is no picture."""
    with open_input(path) as container:
        try:
            stream = require_video(container, path)
            return next(_stamped(decoded_video(container, stream, path), stream))[1]
        except (InputError, StopIteration):
            return None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    with open_input(path) as container:
        stream = require_video(container, path)
        stream.thread_type = "AUTO"
        yield container, stream


def _timed(
    container: InputContainer, stream: VideoStream, path: Path, start: float
) -> Iterator[tuple[VideoFrame, float]]:
    """Decoded frames with seconds from the film's first frame: that one, then all, or all near a late `start`."""
    stamped = _stamped(decoded_video(container, stream, path), stream)
    first = next(stamped, None)
    if first is None:
        raise InputError(f"{path}: not one frame can be decoded; the file may be damaged or cut off.")
    yield first[0], 0.0
    if start > _SEEK_FROM:
        stamped = _sought(container, stream, path, first[1], start) or _from_the_beginning(path)
    for frame, time in stamped:
        yield frame, time - first[1]


def _from_the_beginning(path: Path) -> Iterator[tuple[VideoFrame, float]]:
    # Opened anew: a file in which seeking fails cannot be trusted to go back to its first byte either.
    with _opened(path) as (container, stream):
        yield from _stamped(decoded_video(container, stream, path), stream)


def _sought(
    container: InputContainer, stream: VideoStream, path: Path, begin: float, start: float
) -> Iterator[tuple[VideoFrame, float]] | None:
    """The frames from `start` on and some before; None if seeking leads to no key frame that is early enough."""
    settling = _SETTLING if container.format.name in _UNSURE else 0.0
    latest = begin + start - settling
    for back in _BACK:
        if latest - back <= begin or not _seek(container, stream, latest - back):
            return None
        frames = decoded_video(container, stream, path)
        key = _key_frame(frames, stream, latest)
        if key is not None:
            # Wrong times are left out before `_stamped` sees them: it would shift all later ones behind them.
            frames = _not_before(key[1] + settling / 2, chain([key[0]], frames), stream)
            return _stamped(frames, stream)
    return None


def _key_frame(frames: Iterator[VideoFrame], stream: VideoStream, latest: float) -> tuple[VideoFrame, float] | None:
    """The first key frame and its time, if not later than `latest`; those before it lack what they build upon."""
    for frame in frames:
        time = seconds(frame, stream)
        if time is None or time > latest + _CLOSE:
            return None
        if frame.key_frame:
            return frame, time
    return None


def _not_before(begin: float, frames: Iterator[VideoFrame], stream: VideoStream) -> Iterator[VideoFrame]:
    """All from the first frame at `begin` or later on."""

    def early(frame: VideoFrame) -> bool:
        time = seconds(frame, stream)
        return time is not None and time < begin

    return dropwhile(early, frames)


def _seek(container: InputContainer, stream: VideoStream, time: float) -> bool:
    try:
        container.seek(int(time / clock(stream)), stream=stream, backward=True)
    except (av.FFmpegError, OverflowError):
        return False
    return True


def _stamped(frames: Iterator[VideoFrame], stream: VideoStream) -> Iterator[tuple[VideoFrame, float]]:
    """Frames with strictly growing seconds of the file's clock, invented where the file has none."""
    step = float(1 / (stream.average_rate or stream.guessed_rate or 25))
    last: float | None = None
    for frame in frames:
        time = seconds(frame, stream)
        if last is not None and (time is None or time <= last):
            time = last + step
        last = 0.0 if time is None else time
        yield frame, last
