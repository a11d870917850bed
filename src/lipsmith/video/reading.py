"""Frames of a film, one after the other, each with its exact time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.video.frame import VideoFrame

from lipsmith.errors import InputError
from lipsmith.video.color import FrameToRGB
from lipsmith.video.media import clock, decoded, open_input, require_video, seconds
from lipsmith.video.orientation import Orientation, orientation_of

if TYPE_CHECKING:
    from av.container.input import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_CLOSE = 1e-6  # seconds; times that differ by less are equal
_SEEK_FROM = 5.0  # seconds; decoding less than this is as quick as seeking


@dataclass(frozen=True)
class Frame:
    """One picture of a film."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB, upright, contiguous."""
    time: float
    """Seconds from the first frame of the film."""
    index: int
    """Number of the frame among those that were asked for, from 0."""


def read_frames(path: Path | str, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
    """The frames of a film, an animation or a still picture (one frame, at time 0), shown upright.

    Holds a few frames at any time, however long the film. Damaged stretches are skipped with a warning.

    Args:
        path: any file that libav reads.
        start: seconds from the first frame; earlier frames are left out.
        end: seconds from the first frame; frames at this time or later are left out.

    Raises:
        InputError: the file is missing, empty, has no picture, or not one frame of it can be decoded.
    """
    path = Path(path)
    with open_input(path) as container:
        stream = require_video(container, path)
        stream.thread_type = "AUTO"
        to_rgb = FrameToRGB()
        turn: Orientation | None = None
        index = 0
        for raw, time in _timed(container, stream, path, start):
            if end is not None and time >= end - _CLOSE:
                break
            if time >= start - _CLOSE:
                turn = turn or orientation_of(raw, path)
                yield Frame(turn.upright(to_rgb(raw)), time, index)
                index += 1


def first_time(path: Path) -> float | None:
    """When the first picture is shown, in seconds of the file's own clock; None if there is no picture."""
    with open_input(path) as container:
        try:
            stream = require_video(container, path)
            return next(_stamped(container, stream, path))[1]
        except (InputError, StopIteration):
            return None


def _timed(
    container: InputContainer, stream: VideoStream, path: Path, start: float
) -> Iterator[tuple[VideoFrame, float]]:
    """Decoded frames with seconds from the film's first frame; skips to a key frame before a late `start`."""
    stamped = _stamped(container, stream, path)
    first = next(stamped, None)
    if first is None:
        raise InputError(f"{path}: not one frame can be decoded; the file may be damaged or cut off.")
    if start > _SEEK_FROM and _seek(container, stream, first[1] + start):
        stamped = _stamped(container, stream, path)
    else:
        yield first[0], 0.0
    for frame, time in stamped:
        yield frame, time - first[1]


def _seek(container: InputContainer, stream: VideoStream, time: float) -> bool:
    try:
        container.seek(int(time / clock(stream)), stream=stream, backward=True)
    except av.FFmpegError:
        return False
    return True


def _stamped(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[tuple[VideoFrame, float]]:
    """Decoded frames with strictly growing seconds of the file's clock, invented where the file has none."""
    step = float(1 / (stream.average_rate or stream.guessed_rate or 25))
    last: float | None = None
    for frame in cast(Iterator[VideoFrame], decoded(container, stream, path)):
        time = seconds(frame, stream)
        if last is not None and (time is None or time <= last):
            time = last + step
        last = 0.0 if time is None else time
        yield frame, last
