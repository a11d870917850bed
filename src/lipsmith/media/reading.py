"""Reads the frames of a film in order, each with its exact time, even if the container's clock has rounded it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, overload

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.media.color import FilmedPicture, FrameToRGB, Picture, can_convert_partially
from lipsmith.media.completeness import report_shortfall
from lipsmith.media.container import OpenStream, check_readable, clock, open_video, seconds
from lipsmith.media.decoding import Orientation, decoded_video, orientation_of, shown_size
from lipsmith.media.pictures import StillPicture, read_picture

if TYPE_CHECKING:
    from av.video.stream import VideoStream


_EPSILON = 1e-6  # seconds; times that differ by less are equal
_SEEK_FROM = 5.0  # seconds; skipping less than this by decoding is as fast as seeking
_SEEK_MARGINS = (0.0, 2.0, 8.0, 32.0)  # seconds; without an index of key frames, seeking mostly arrives too late
_CHROMA_AT_LEFT = {"h264", "hevc"}  # chroma siting of `FilmedPicture`; libav's other decoders do not report it
_UNRELIABLE_TIMES = {"avi", "mpeg", "mpegts"}  # these store times for some frames only, or no presentation times
_SETTLING_SECONDS = 2.0  # seconds; after seeking in these, the guessed times of the first frames are wrong
_PICTURE_SIGNATURES: Final = (
    (0, b"\x89PNG", ("PNG",)),
    (0, b"\xff\xd8\xff", ("JPEG", "MPO")),
    (0, b"II", ("TIFF",)),
    (0, b"MM", ("TIFF",)),
    (0, b"BM", ("BMP",)),
    (0, b"\0\0\1\0", ("ICO",)),
    (8, b"WEBP", ("WEBP",)),
    (4, b"jP  ", ("JPEG2000",)),
)
"""File signatures of Pillow's formats: offset, bytes, format."""
_JPEG_FILMS: Final = {".mjpeg", ".mjpg"}  # one JPEG after the other, of which Pillow reads the first
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_HEIF_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"mif1"}
_SEQUENCE_BRANDS: Final = {b"hevc", b"hevx", b"msf1"}
"""Brands of ISO/IEC 23008-12; a file whose first brand is of a sequence is a film."""
T = TypeVar("T")
_COMMON_RATES: Final = (
    *map(Fraction, (24, 25, 30, 50, 60, 120, 15, 12, 10)),
    *(Fraction(1000 * whole, 1001) for whole in (24, 30, 60, 120)),
)
_FAR_OFF: Final = 0.01  # of a rate
_JITTER: Final = 20  # timestamps that deviate by less than this fraction of an interval belong to a constant rate
_MAX_DEVIATION: Final = 0.4  # of an interval; a timestamp that deviates by more could belong to the neighboring frame


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a film."""

    image: Picture
    """(H, W, 3) RGB, upright, contiguous."""
    time: float
    """Seconds from the first frame of the film."""
    index: int
    """Number of the frame among the requested ones, from 0."""


@dataclass(frozen=True, eq=False)
class RGBFrame(Frame):
    """A frame all of whose picture is converted to RGB."""

    image: NDArray[np.uint8]


def require_frame(path: Path, start: float, end: float | None) -> None:
    """Raise `InputError` where a film has no frame between two times, in seconds."""
    if next(read_frames(path, start, end), None) is None:
        raise InputError(f"{path} has no frame from {start:g} s on; choose an earlier start or a later end.")


@overload
def read_frames(
    path: Path | str, start: float = ..., end: float | None = ..., rate: Fraction | None = ...
) -> Iterator[RGBFrame]: ...


@overload
def read_frames(
    path: Path | str,
    start: float = ...,
    end: float | None = ...,
    rate: Fraction | None = ...,
    *,
    as_filmed: bool,
) -> Iterator[Frame]: ...


def read_frames(
    path: Path | str,
    start: float = 0.0,
    end: float | None = None,
    rate: Fraction | None = None,
    *,
    as_filmed: bool = False,
) -> Iterator[Frame]:
    """The upright frames of a film, an animation or a still picture (one frame, at time 0).

    Memory holds a few frames at any time, whatever the film's length. Damaged parts are skipped with a warning.

    Args:
        path: any file that libav reads.
        start: seconds from the first frame; earlier frames are omitted.
        end: seconds from the first frame; frames at this time or later are omitted.
        rate: frames a second of a film of constant rate whose times were rounded; exact times are restored from it.
        as_filmed: images may be `FilmedPicture`s instead of arrays, which converts only the parts that are used.

    Raises:
        InputError: the file is missing, empty, has no video stream, or none of its frames can be decoded.
    """
    path = Path(path)
    check_readable(path)
    if (picture := still_picture(path)) is not None:
        if start <= _EPSILON and (end is None or end > _EPSILON):
            yield RGBFrame(picture.image, 0.0, 0)
        return
    with _open(path) as source:
        stream = source.stream
        timed = _timed(source, start)
        if rate is not None:
            timed = restore_times(timed, rate, clock(stream))
        first, _ = next(timed)
        # A film may change size or rotation midway: every frame is shown like the first, wherever reading starts.
        size, orientation = shown_size(first, stream), orientation_of(first)
        to_rgb = FrameToRGB(size)
        as_filmed = as_filmed and orientation == Orientation() and stream.codec_context.name in _CHROMA_AT_LEFT
        index = 0
        for raw, time in chain([(first, 0.0)], timed):
            if end is not None and time >= end - _EPSILON:
                break
            if time >= start - _EPSILON:
                filmed = as_filmed and (raw.width, raw.height) == size and can_convert_partially(raw)
                if filmed:
                    yield Frame(FilmedPicture(raw), time, index)
                else:
                    yield RGBFrame(orientation.upright(to_rgb(raw)), time, index)
                index += 1


def still_picture(path: Path) -> StillPicture | None:
    """The still picture in a file; None for films and animations. Raises as `read_picture`."""
    formats = _picture_formats(path)
    return read_picture(path, formats) if formats else None


def _picture_formats(path: Path) -> tuple[str, ...]:
    """Pillow's names of the still picture formats that match the file's first bytes; empty for films."""
    if path.suffix.lower() in _JPEG_FILMS:
        return ()
    with path.open("rb") as file:
        head = file.read(128)
    if head[4:8] == b"ftyp":
        brands = [head[at : at + 4] for at in range(8, min(int.from_bytes(head[:4], "big"), len(head)), 4)]
        if _AVIF_BRANDS.intersection(brands):
            return ("AVIF",)
        return ("HEIF",) if _HEIF_BRANDS.intersection(brands) and brands[0] not in _SEQUENCE_BRANDS else ()
    return next((names for at, mark, names in _PICTURE_SIGNATURES if head[at:].startswith(mark)), ())


def first_time(path: Path) -> float | None:
    """Presentation time of the first picture, in seconds of the file's clock; None without a video stream."""
    with suppress(InputError), open_video(path) as source:
        return next((time for _, time in _with_timestamps(decoded_video(source), source.stream)), None)
    return None


@contextmanager
def _open(path: Path) -> Iterator[OpenStream[VideoStream]]:
    with open_video(path) as source:
        source.stream.thread_type = "AUTO"
        yield source


def _timed(source: OpenStream[VideoStream], start: float) -> Iterator[tuple[VideoFrame, float]]:
    """Decoded frames with their seconds from the film's first frame: the first one, then all, or those near `start`."""
    stamped = _with_timestamps(decoded_video(source), source.stream)
    first = next(stamped, None)
    if first is None:
        raise InputError(f"{source.path}: no frame can be decoded; the file may be damaged or truncated.")
    lasting, time = first[0].duration, 0.0
    yield first[0], time
    if start > _SEEK_FROM:
        stamped = _from_key_frame(source, first[1], start) or _from_the_beginning(source.path)
    for frame, stamp in stamped:
        lasting, time = frame.duration, stamp - first[1]
        yield frame, time
    end = first[1] + time + float((lasting or 0) * clock(source.stream))
    report_shortfall(source, first[1], end)


def _from_the_beginning(path: Path) -> Iterator[tuple[VideoFrame, float]]:
    # Reopened, because a file in which seeking fails may not seek back to its first byte either.
    with _open(path) as source:
        yield from _with_timestamps(decoded_video(source), source.stream)


def _from_key_frame(
    source: OpenStream[VideoStream], earliest: float, start: float
) -> Iterator[tuple[VideoFrame, float]] | None:
    """The frames from `start` on and some before; None if seeking finds no key frame that is early enough."""
    stream = source.stream
    settling = _SETTLING_SECONDS if source.container.format.name in _UNRELIABLE_TIMES else 0.0
    latest = earliest + start - settling
    for margin in _SEEK_MARGINS:
        if latest - margin <= earliest or not _seek(source, latest - margin):
            return None
        frames = decoded_video(source, sought=True)
        key = _key_frame(frames, stream, latest)
        if key is not None:
            # Wrong times are removed before `_with_timestamps`, which would shift all later ones.
            frames = _drop_before(key[1] + settling / 2, chain([key[0]], frames), stream)
            return _with_timestamps(frames, stream)
    return None


def _key_frame(frames: Iterator[VideoFrame], stream: VideoStream, latest: float) -> tuple[VideoFrame, float] | None:
    """The first key frame and its time, if not later than `latest`; frames before it lack their reference frames."""
    for frame in frames:
        time = seconds(frame, stream)
        if time is None or time > latest + _EPSILON:
            return None
        if frame.key_frame:
            return frame, time
    return None


def _drop_before(earliest: float, frames: Iterator[VideoFrame], stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames, starting with the first at `earliest` or later."""

    def is_early(frame: VideoFrame) -> bool:
        time = seconds(frame, stream)
        return time is not None and time < earliest

    return dropwhile(is_early, frames)


def _seek(source: OpenStream[VideoStream], time: float) -> bool:
    try:
        source.container.seek(int(time / clock(source.stream)), stream=source.stream, backward=True)
    except (av.FFmpegError, OverflowError):
        return False
    return True


def _with_timestamps(frames: Iterator[VideoFrame], stream: VideoStream) -> Iterator[tuple[VideoFrame, float]]:
    """Frames with strictly increasing seconds of the file's clock, estimated if the file has none."""
    step = float(1 / (stream.average_rate or stream.guessed_rate or 25))
    last: float | None = None
    for frame in frames:
        time = seconds(frame, stream)
        if last is not None and (time is None or time <= last):
            time = last + step
        last = 0.0 if time is None else time
        yield frame, last


def tolerance(step: Fraction, tick: Fraction) -> Fraction:
    """Seconds by which a timestamp of a constant rate may deviate, for frames every `step` on a clock of `tick`."""
    return max(2 * tick, step / _JITTER)


def nominal_rate(span: Fraction, intervals: int, tick: Fraction, declared: Fraction) -> Fraction:
    """The rate at which `intervals` take `span` seconds: the common rate nearest to the `declared` one, or that one, or
    the measured rate if the declared one is far off."""
    if 2 * tick * intervals >= span:
        return declared  # the clock counts frames, so its times are exact
    nearest = sorted(_COMMON_RATES, key=lambda rate: abs(rate - declared))
    measured = intervals / span
    otherwise = declared if abs(measured / declared - 1) < _FAR_OFF else measured
    return next((rate for rate in nearest if abs(intervals / rate - span) <= 2 * tick), otherwise)


def restore_times(timed: Iterable[tuple[T, float]], rate: Fraction, tick: Fraction) -> Iterator[tuple[T, float]]:
    """Restores times that a clock of `tick` has rounded to multiples of 1 / `rate`.

    A time that deviates by more than rounding, for example after a pause, is kept; later ones are relative to it.
    """
    step = 1 / rate
    limit = float(min(tolerance(step, tick), step * Fraction(_MAX_DEVIATION)))
    anchor, last = 0.0, -1.0
    for item, time in timed:
        exact = anchor + float(round((time - anchor) * rate) * step)
        if abs(exact - time) > limit or exact <= last:
            anchor = exact = max(time, last + float(step) * _MAX_DEVIATION)
        last = exact
        yield item, exact
