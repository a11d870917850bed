"""Reads the properties of a file from its header and first packets, and lists the parts that a copy would lack."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import av

from lipsmith.errors import InputError
from lipsmith.media.color import BT709, FULL, UNSPECIFIED, ColorTags, can_write, has_alpha
from lipsmith.media.container import (
    Chapter,
    OpenStream,
    audio_stream,
    chapters_in,
    check_readable,
    clock,
    open_video,
    pictures_in,
    timestamp,
)
from lipsmith.media.decoding import decoder, is_end, is_interlaced, orientation_of, packets, shown_size
from lipsmith.media.hdr import HDR_TRANSFERS
from lipsmith.media.pictures import FLOATS, HDR_REMARK, PRIVACY_REMARK, TRANSPARENCY_REMARK, StillPicture
from lipsmith.media.reading import nominal_rate, still_picture, tolerance
from lipsmith.media.sound import language_of

if TYPE_CHECKING:
    from av.container.input import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


_PROBED_PACKETS = 250  # packets: ten seconds at 25 fps, a few milliseconds of reading
_REORDERED = 16  # packets: H.264 and HEVC decode a frame before at most so many that are shown earlier
_STILL_RATE = Fraction(25)
_SRGB = 13
_USUAL_RATE = Fraction(25)  # of films whose rate nobody can tell
_MAX_RATE = 240  # frames a second; a higher value in a header is a time base, not a rate
_FLOAT_FORMAT = re.compile("f(16|32)")  # in the names of libav's formats
_PRIVATE_KEYS = ("location", "gps", "make", "model", "\xa9xyz")


@dataclass(frozen=True)
class VideoInfo:
    """The properties of a film or picture; color fields are code points of libav (ITU-T H.273)."""

    path: Path
    width: int
    """Pixels, after rotation."""
    height: int
    """Pixels, after rotation."""
    rate: Fraction
    """Frames a second, on average."""
    duration: float | None
    """Seconds; None if the file does not say."""
    frames: int | None
    """Estimate; exact for short films. None if the file does not say."""
    has_audio: bool
    is_still: bool
    variable_rate: bool
    rotation: int
    """Degrees clockwise by which decoding rotates the stored frames."""
    color_range: int
    colorspace: int
    primaries: int
    transfer: int
    pixel_format: str
    sample_aspect: Fraction = Fraction(1)
    """Width of a pixel divided by its height, after rotation."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The container's metadata, with keys in lower case."""
    chapters: tuple[Chapter, ...] = ()
    remarks: tuple[str, ...] = ()
    """Sentences about the parts that a copy of the frames lacks or changes."""

    @property
    def tags(self) -> ColorTags:
        """The color tags of a copy of the frames: unchanged, or BT.709 for pictures and HDR, and in the place of what
        RGB does not declare."""
        if self.is_still or self.transfer in HDR_TRANSFERS:
            return ColorTags()
        if not self.pixel_format.startswith(("yuv", "nv", "p0", "p2")) or not can_write(self.colorspace):
            primaries, transfer = (BT709 if code == UNSPECIFIED else code for code in (self.primaries, self.transfer))
            return ColorTags(primaries=primaries, transfer=transfer)
        return ColorTags(self.color_range, self.colorspace, self.primaries, self.transfer)


@dataclass(frozen=True)
class _Timing:
    rate: Fraction
    duration: float | None
    frames: int | None
    variable: bool


def probe(path: Path | str) -> VideoInfo:
    """Size, rate, length, colors and metadata of a film or picture; decodes one frame.

    Raises:
        InputError: the file is missing, empty, has no picture, or its picture cannot be decoded.
    """
    path = Path(path)
    check_readable(path)
    if (picture := still_picture(path)) is not None:
        return _info_of(picture, path)
    with open_video(path) as source:
        container, stream = source.container, source.stream
        frame, stamps, complete = _first_frame_and_stamps(source)
        timing = _timing(source, stamps, complete)
        turn = orientation_of(frame)
        size = shown_size(frame, stream)
        aspect = (size == (frame.width, frame.height) and stream.sample_aspect_ratio) or Fraction(1)
        width, height = size[::-1] if turn.transposes else size
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            rate=timing.rate,
            duration=timing.duration,
            frames=timing.frames,
            has_audio=audio_stream(container) is not None,
            is_still=_is_picture(container) or timing.frames == 1,
            variable_rate=timing.variable,
            rotation=turn.rotation,
            color_range=int(frame.color_range),
            colorspace=int(frame.colorspace),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            pixel_format=frame.format.name,
            sample_aspect=1 / aspect if turn.transposes else aspect,
            metadata={key.lower(): value for key, value in container.metadata.items()},
            chapters=chapters_in(container, float(stamps[0][0]) if stamps else 0.0),
            remarks=remarks_on(path, container, frame),
        )


def _info_of(picture: StillPicture, path: Path) -> VideoInfo:
    height, width = picture.image.shape[:2]
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        rate=_STILL_RATE,
        duration=float(1 / _STILL_RATE),
        frames=1,
        has_audio=False,
        is_still=True,
        variable_rate=False,
        rotation=picture.rotation,
        color_range=FULL,
        colorspace=BT709,
        primaries=BT709,
        transfer=_SRGB,
        pixel_format="rgb24",
        metadata=picture.metadata,
        remarks=picture.remarks,
    )


def _is_picture(container: InputContainer) -> bool:
    return container.format.name == "image2" or container.format.name.endswith("_pipe")


def _first_frame_and_stamps(
    source: OpenStream[VideoStream],
) -> tuple[VideoFrame, list[tuple[Fraction, Fraction]], bool]:
    """The first decodable frame; (time, duration) of the first packets, in the order in which they are shown; whether
    these are all packets."""
    stream = source.stream
    stream.codec_context.thread_count = 1  # several threads would need many packets before the first frame
    decode = decoder(stream)
    frame: VideoFrame | None = None
    stamps: list[tuple[Fraction, Fraction]] = []
    complete = True
    for packet in packets(source):
        if len(stamps) >= _PROBED_PACKETS and frame is not None:
            complete = is_end(packet)
            break
        stamp = timestamp(packet)
        if stamp is not None and not packet.is_discard:
            stamps.append((stamp * clock(stream), (packet.duration or 0) * clock(stream)))
        if frame is None and (packet.size or is_end(packet)):
            frame = _first_frame(decode, packet)
    if frame is None:
        raise InputError(f"{source.path}: no frame can be decoded; the file may be damaged or truncated.")
    if _FLOAT_FORMAT.search(frame.format.name):
        raise InputError(FLOATS.format(path=source.path))
    # The next packets may be shown between the last of these, which would look like gaps.
    return frame, sorted(stamps)[: None if complete else -_REORDERED], complete


def _first_frame(decode: Callable[[Packet[Any] | None], list[VideoFrame]], packet: Packet[Any]) -> VideoFrame | None:
    try:
        frames = decode(packet if packet.size else None)
    except av.FFmpegError:
        return None
    return frames[0] if frames else None


def _timing(source: OpenStream[VideoStream], stamps: list[tuple[Fraction, Fraction]], complete: bool) -> _Timing:
    stream = source.stream
    gaps = [after[0] - before[0] for before, after in pairwise(stamps)]
    gaps = [gap for gap in gaps if gap > 0]
    typical = median(gaps) if gaps else None
    span = stamps[-1][0] - stamps[0][0] + (stamps[-1][1] or typical or 0) if stamps else None
    measured = len(stamps) / span if span else None
    proven = measured if gaps else None  # the duration of a single frame may be a tick
    declared = (stream.average_rate, measured, stream.guessed_rate)
    rate = next(filter(None, (_plausible(one, proven) for one in declared)), _USUAL_RATE)
    variable = _is_variable(gaps, typical, rate, clock(stream))
    begin = stamps[0][0] if stamps else Fraction(0)
    duration = float(span) if complete and span else _declared_duration(source, float(begin))
    frames = len(stamps) if complete else stream.frames
    if variable and complete and measured:
        rate = measured  # Matroska declares the rate of the encoder, not the average
    elif not variable and gaps:
        rate = nominal_rate(stamps[-1][0] - stamps[0][0], len(gaps), clock(stream), rate)
    return _Timing(rate, duration, frames or _estimate(duration, rate), variable)


def _estimate(duration: float | None, rate: Fraction) -> int | None:
    return None if duration is None else round(duration * rate)


def _plausible(declared: Fraction | None, measured: Fraction | None) -> Fraction | None:
    """The declared rate; None if it is implausible: headers written while recording often hold a time base instead."""
    if not declared or (declared > _MAX_RATE and (measured is None or measured < declared / 2)):
        return None
    return declared


def _declared_duration(source: OpenStream[VideoStream], begin: float) -> float | None:
    """`begin`: time of the first picture, seconds of the file's clock."""
    container, stream = source.container, source.stream
    if stream.duration:
        return float(stream.duration * clock(stream))
    declared = (container.duration or 0) / av.time_base
    if container.format.name == "matroska,webm" and begin < declared:
        declared -= begin  # it declares when the film ends
    return declared or None


def _is_variable(gaps: list[Fraction], typical: Fraction | None, rate: Fraction, time_base: Fraction) -> bool:
    if not gaps or typical is None:
        return False
    limit = tolerance(typical, time_base)
    return max(gaps) - min(gaps) > limit or abs(1 / rate - typical) > limit


def remarks_on(path: Path, container: InputContainer, first: VideoFrame) -> tuple[str, ...]:
    """Sentences about a film whose first decoded frame is `first`."""
    remarks = []
    pictures = pictures_in(container)
    chosen = pictures[0]
    if len(pictures) > 1:
        size = f"{chosen.codec_context.width} x {chosen.codec_context.height}"
        remarks.append(
            f"{path} holds {len(pictures)} video streams; stream {chosen.index}, {size}, is used, as in players."
        )
    if is_interlaced(chosen, first):
        remarks.append(f"{path} is interlaced; it is deinterlaced, and the result is progressive.")
    if shown_size(first, chosen) != (first.width, first.height):
        remarks.append(f"{path} has pixels that are not square; it is scaled, and those of the result are.")
    if first.color_trc in HDR_TRANSFERS:
        remarks.append(HDR_REMARK.format(path=path, name=HDR_TRANSFERS[first.color_trc]))
    elif any(component.bits > 8 for component in first.format.components):
        remarks.append(f"{path} has more than 8 bits per channel; the result has 8, which every player supports.")
    if has_alpha(first) and first.reformat(format="rgba").to_ndarray()[..., 3].min() < 255:
        remarks.append(TRANSPARENCY_REMARK.format(path=path))
    return (*remarks, *_omitted_parts(path, container))


def _omitted_parts(path: Path, container: InputContainer) -> list[str]:
    """Sentences that list the streams and metadata that a copy of this film with new sound omits."""
    replaced = audio_stream(container)
    others = [s for s in container.streams if s.type != "video" and s != replaced]
    chapters = len(container.chapters())  # MP4 stores these as a track with one sample each
    omitted = [s for s in others if not (s.type == "data" and 0 < chapters == s.frames)]
    kinds = Counter(f"{stream.type}{_in_language(language_of(stream))}" for stream in omitted)
    sentences = []
    if kinds:
        listed = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items())
        sentences.append(f"{path}: the result omits these streams, besides the replaced sound: {listed}.")
    if any(part in key.lower() for key in container.metadata for part in _PRIVATE_KEYS):
        sentences.append(PRIVACY_REMARK.format(path=path))
    return sentences


def _in_language(language: str | None) -> str:
    return f" ({language})" if language and language != "und" else ""
