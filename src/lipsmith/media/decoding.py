"""Decodes packets to frames, with support for damage, repeated pictures, transparency, interlacing and rotation."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import av
import numpy as np
from av.codec.context import Flags
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType

from lipsmith.errors import counted
from lipsmith.media.completeness import may_jump, report_once
from lipsmith.media.container import OpenStream, clock, seconds, timestamp

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.buffer import Buffer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray


_LOG = logging.getLogger(__name__)

_ALPHA_DECODERS: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # libav's own decoders ignore transparency

_REORDERING_CODECS: Final = {"h264", "hevc"}
_UNFLAGGED_CODECS: Final = {"cfhd", "ffv1", "ffvhuff", "huffyuv", "magicyuv", "png", "qtrle", "r210", "utvideo"}
_PARITY: Final = {2: "tff", 3: "bff", 4: "bff", 5: "tff"}
"""The field that is shown first, by libav's `AVFieldOrder`."""
_JUMP: Final = 60
"""Seconds by which a clock that may be set anew jumps; a shorter gap may be a lost part."""
_IMPOSSIBLE: Final = 30 * 3600
"""Seconds beyond which other clocks are wrong, as in ffmpeg."""
_ICC_PROFILE: Final = 15
_OBLONG: Final = Fraction(9, 8)
"""Ratio of a pixel's sides up to which faces are dubbed as well as with square pixels; with 4:3, chins get a line."""
_MOST_OBLONG: Final = 3
"""A larger ratio is an error of the file."""
_KNOWN_TYPES: Final = 28  # side data types that PyAV knows; an unknown type hides all others
_LAST_TYPE: Final = 40


def packets(source: OpenStream[VideoStream | AudioStream]) -> Iterator[Packet[Any]]:
    """The packets of one stream, followed by its empty end packet; a truncated file ends early."""
    longest_gap = (_JUMP if may_jump(source.container) else _IMPOSSIBLE) / clock(source.stream)
    try:
        yield from _without_jumps(source.container.demux(source.stream), longest_gap, source.path)
    except av.FFmpegError as error:
        _LOG.warning("%s is truncated: %s", source.path, error.strerror)
        yield av.Packet()


def _without_jumps(demuxer: Iterator[Packet[Any]], longest_gap: Fraction, path: Path) -> Iterator[Packet[Any]]:
    """The packets on a clock that goes on where the file's own jumps, as where recordings were joined by `cat`.

    `longest_gap`: ticks between packets beyond which the clock has jumped.
    """
    shift, expected = 0, None
    for packet in demuxer:
        if packet.dts is not None:
            if expected is not None and abs(packet.dts - shift - expected) > longest_gap:
                report_once(path, f"{path}: its clock jumps; the parts before and after the jump are joined.")
                shift = packet.dts - expected
            packet.dts -= shift
            expected = packet.dts + (packet.duration or 0)
        if packet.pts is not None:
            packet.pts -= shift
        yield packet


def is_end(packet: Packet[Any]) -> bool:
    """Whether a packet ends its stream; an empty packet with a time repeats the previous picture instead."""
    return packet.size == 0 and timestamp(packet) is None


def decoder(stream: VideoStream | AudioStream) -> Callable[[Packet[Any] | None], list[Any]]:
    """A function from packets to frames; None ends the stream. It serves one pass from a key frame."""
    name = stream.codec_context.name
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if name in _ALPHA_DECODERS and tags.get("alpha_mode") == "1":
        return cast("VideoCodecContext", av.CodecContext.create(_ALPHA_DECODERS[name], "r")).decode
    return stream.decode


def decoded_sound(source: OpenStream[AudioStream]) -> Iterator[AudioFrame]:
    """The frames of an audio stream; packets that fail to decode are skipped, and a warning reports their number."""
    return _decoded(source)


def decoded_video(source: OpenStream[VideoStream], sought: bool = False) -> Iterator[VideoFrame]:
    """The deinterlaced frames of a video stream; packets that fail to decode are skipped, and a warning reports how
    many.

    `sought`: from a key frame within the film on; frames before it, which lack their references, may come first.
    """
    if sought and _counts_frames(source):  # these count, too
        source.stream.codec_context.flags |= Flags.output_corrupt
    frames = _decoded(source)
    return _deinterlaced(frames, parity) if (parity := _declared_parity(source.stream)) else _progressive(frames)


def is_interlaced(stream: VideoStream, first: VideoFrame) -> bool:
    """Whether a stream whose first frame is `first` is deinterlaced."""
    return first.interlaced_frame or _declared_parity(stream) is not None


def _declared_parity(stream: VideoStream) -> str | None:
    """The first field, tff or bff, that the container declares for a codec whose frames do not say; None for none."""
    return _PARITY.get(stream.codec_context.field_order) if stream.codec_context.name in _UNFLAGGED_CODECS else None


def _decoded(source: OpenStream[VideoStream | AudioStream]) -> Iterator[Any]:
    stream = source.stream
    decode = decoder(stream)
    damaged, first_damage = 0, 0.0
    repeats: deque[int] = deque()
    # AVI stores decoding times only, and libav's guesses of presentation times are wrong for reordered frames. Each
    # packet holds one frame, so the n-th frame is shown at the n-th of the times.
    decoding_times: deque[int | None] | None = deque() if _counts_frames(source) else None
    last = None
    for packet in packets(source):
        if packet.size == 0 and not is_end(packet):
            repeats.append(cast(int, packet.dts if decoding_times is not None else timestamp(packet)))
            continue
        try:
            frames = decode(packet if packet.size else None)
        except av.error.EOFError:
            continue
        except av.FFmpegError:
            damaged += 1
            first_damage = first_damage if damaged > 1 else seconds(packet, stream) or 0.0
            continue
        if decoding_times is not None and packet.size:
            decoding_times.append(packet.dts)
        for frame in frames:
            if decoding_times:
                frame.pts = decoding_times.popleft()
            yield from _repeat(last, repeats, timestamp(frame))
            last = frame if stream.type == "video" else None
            yield frame
    yield from _repeat(last, repeats, None)
    if damaged:
        skipped = counted(damaged, "damaged packet")
        _LOG.warning("%s: skipped %s, the first near %.2f s", source.path, skipped, first_damage)


def _counts_frames(source: OpenStream[VideoStream | AudioStream]) -> bool:
    return source.container.format.name == "avi" and source.stream.codec_context.name in _REORDERING_CODECS


def _repeat(last: VideoFrame | None, repeats: deque[int], before: int | None) -> Iterator[VideoFrame]:
    """The last frame again for every empty packet before a time."""
    while repeats and (before is None or repeats[0] < before):
        stamp = repeats.popleft()
        if last is not None:
            last.pts = stamp
            yield last


def _progressive(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    for frame in frames:
        if frame.interlaced_frame:
            yield from _deinterlaced(chain([frame], frames), None)
            return
        yield frame


def _deinterlaced(frames: Iterator[VideoFrame], parity: str | None) -> Iterator[VideoFrame]:
    """One frame for each pair of interlaced fields, of all frames with the first field `parity`, or of flagged ones."""
    graph: Graph | None = None
    shape = None
    for frame in frames:
        if shape != (own := (frame.width, frame.height, frame.format.name)):
            yield from _filtered(graph, None)
            graph, shape = _bwdif(frame, parity), own
        frame.pts = timestamp(frame)
        yield from _filtered(graph, frame)
    yield from _filtered(graph, None)


def _bwdif(frame: VideoFrame, parity: str | None) -> Graph:
    graph = Graph()
    options = f"mode=send_frame:parity={parity}:deint=all" if parity else "mode=send_frame:deint=interlaced"
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=cast(Any, frame.time_base)
    )
    graph.link_nodes(source, graph.add("bwdif", options), graph.add("buffersink"))
    graph.configure()
    return graph


def _filtered(graph: Graph | None, frame: VideoFrame | None) -> Iterator[VideoFrame]:
    if graph is None:
        return
    graph.vpush(frame)
    while True:
        try:
            filtered = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield filtered


def side_data_of(frame: VideoFrame) -> Mapping[SideDataType, Buffer]:
    """Side data by type, without color profiles.

    PyAV frees the name of a profile although libav owns it, which crashes the process (AVFrameSideData.metadata).
    Profiles are therefore removed through libav before PyAV reads the side data.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    filters = [
        graph.add("sidedata", f"mode=delete:type={kind}") for kind in (_ICC_PROFILE, *range(_KNOWN_TYPES, _LAST_TYPE))
    ]
    graph.link_nodes(source, *filters, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return cast("Mapping[SideDataType, Buffer]", graph.vpull().side_data)


@dataclass(frozen=True)
class Orientation:
    """The map from stored to upright pixels, x' = a x + c y, y' = b x + d y: quarter turns and mirrors."""

    a: int = 1
    b: int = 0
    c: int = 0
    d: int = 1

    @property
    def transposes(self) -> bool:
        """Whether width and height are swapped."""
        return self.a == 0

    @property
    def mirrored(self) -> bool:
        """Whether the stored frame is flipped horizontally before it is rotated."""
        return self.a * self.d - self.b * self.c < 0

    @property
    def rotation(self) -> int:
        """The rotation in degrees clockwise: 0, 90, 180 or 270."""
        sign = -1 if self.mirrored else 1
        return round(math.degrees(math.atan2(sign * self.b, sign * self.a))) % 360

    def upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) as stored to (H', W', 3) as shown, contiguous."""
        if self.transposes:
            image = image.transpose(1, 0, 2)
        if self.a + self.c < 0:
            image = image[:, ::-1]
        if self.b + self.d < 0:
            image = image[::-1]
        return np.ascontiguousarray(image)


def shown_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height of a stored frame, with square pixels if its own are oblong."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = frame.width, frame.height
    if not _OBLONG < max(aspect, 1 / aspect) <= _MOST_OBLONG:
        return width, height
    return (2 * round(width * aspect / 2), height) if aspect > 1 else (width, 2 * round(height / aspect / 2))


def orientation_of(frame: VideoFrame) -> Orientation:
    """The quarter turn, with or without a mirror, nearest to a decoded frame's display matrix."""
    data = side_data_of(frame).get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].astype(np.int64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(a=-1 if a < 0 else 1, b=0, c=0, d=-1 if d < 0 else 1)
    return Orientation(a=0, b=-1 if b < 0 else 1, c=-1 if c < 0 else 1, d=0)
