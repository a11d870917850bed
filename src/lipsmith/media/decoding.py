"""Packets into frames: past damage, with repeated pictures, transparency and both fields of interlaced film."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import av
from av.filter import Graph

from lipsmith.media.container import seconds

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container.input import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

_WITH_ALPHA: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # libav's own decoders leave transparency out

_REORDERED: Final = {"h264", "hevc"}


def packets(container: InputContainer, stream: VideoStream | AudioStream, path: Path) -> Iterator[Packet[Any]]:
    """The packets of one stream and the empty one that ends it; a file that breaks off ends early."""
    demuxer = container.demux(stream)
    try:
        yield from demuxer
    except av.FFmpegError as error:
        log.warning("%s breaks off before its end: %s", path, error.strerror)
        yield av.Packet()


def is_end(packet: Packet[Any]) -> bool:
    """Whether a packet ends its stream; one that is empty but has a time repeats the picture before it."""
    return packet.size == 0 and _stamp(packet) is None


def decoder(stream: VideoStream | AudioStream) -> Callable[[Packet[Any] | None], list[Any]]:
    """What turns packets into frames; None ends the stream. For one pass from a key frame on."""
    name = stream.codec_context.name
    if name in _WITH_ALPHA and {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode") == "1":
        return cast("VideoCodecContext", av.CodecContext.create(_WITH_ALPHA[name], "r")).decode
    return stream.decode


def decoded_sound(container: InputContainer, stream: AudioStream, path: Path) -> Iterator[AudioFrame]:
    """The frames of a sound; what cannot be decoded is skipped, and a warning says how much."""
    return _decoded(container, stream, path)


def decoded_video(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """The frames of a picture, deinterlaced; what cannot be decoded is skipped, and a warning says how much."""
    return _progressive(_decoded(container, stream, path))


def _decoded(container: InputContainer, stream: VideoStream | AudioStream, path: Path) -> Iterator[Any]:
    decode = decoder(stream)
    damaged, where = 0, 0.0
    repeats: deque[int] = deque()
    # AVI knows only when packets are decoded, and libav's guesses of when they are shown are off where they are
    # reordered. Each holds a frame, so the n-th frame is shown at the n-th of their times.
    counted: deque[int | None] | None = deque() if _counts_frames(container, stream) else None
    last = None
    for packet in packets(container, stream, path):
        if packet.size == 0 and not is_end(packet):
            repeats.append(cast(int, packet.dts if counted is not None else _stamp(packet)))
            continue
        try:
            frames = decode(packet if packet.size else None)
        except av.error.EOFError:
            continue
        except av.FFmpegError:
            damaged += 1
            where = where if damaged > 1 else seconds(packet, stream) or 0.0
            continue
        if counted is not None and packet.size:
            counted.append(packet.dts)
        for frame in frames:
            if counted:
                frame.pts = counted.popleft()
            yield from _repeated(last, repeats, _stamp(frame))
            last = frame if stream.type == "video" else None
            yield frame
    yield from _repeated(last, repeats, None)
    if damaged:
        log.warning("%s: %d damaged packets were skipped, the first near %.2f s", path, damaged, where)


def _counts_frames(container: InputContainer, stream: VideoStream | AudioStream) -> bool:
    return container.format.name == "avi" and stream.codec_context.name in _REORDERED


def _stamp(item: Packet[Any] | VideoFrame | AudioFrame) -> int | None:
    return item.pts if item.pts is not None else item.dts


def _repeated(last: VideoFrame | None, repeats: deque[int], before: int | None) -> Iterator[VideoFrame]:
    """The last frame once more for every empty packet before a time."""
    while repeats and (before is None or repeats[0] < before):
        stamp = repeats.popleft()
        if last is not None:
            last.pts = stamp
            yield last


def _progressive(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    for frame in frames:
        if frame.interlaced_frame:
            yield from _deinterlaced(chain([frame], frames))
            return
        yield frame


def _deinterlaced(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """One whole frame for each of two woven fields; frames that are not flagged as interlaced stay as they are."""
    graph: Graph | None = None
    shape = None
    for frame in frames:
        if graph is None or shape != (frame.width, frame.height, frame.format.name):
            yield from _pulled(graph, None)
            graph, shape = _bwdif(frame), (frame.width, frame.height, frame.format.name)
        frame.pts = _stamp(frame)
        yield from _pulled(graph, frame)
    yield from _pulled(graph, None)


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=cast(Any, frame.time_base)
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph | None, frame: VideoFrame | None) -> Iterator[VideoFrame]:
    if graph is None:
        return
    graph.vpush(frame)
    while True:
        try:
            pulled = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield pulled
