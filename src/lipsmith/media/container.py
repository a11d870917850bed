"""Opening files and decoding them past damage: what pictures and sound have in common."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import py_object, pythonapi
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.stream import Disposition

from lipsmith.errors import InputError
from lipsmith.files import require

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.layout import AudioLayout
    from av.audio.stream import AudioStream
    from av.container.input import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

_NOT_FOOTAGE = {"tty"}  # libav draws any text file as a film of terminal output


@contextmanager
def open_input(path: Path) -> Iterator[InputContainer]:
    """Opens a media file for reading.

    Raises:
        InputError: the file is missing, empty, or nothing that libav can read.
    """
    check_readable(path)
    try:
        # An absolute path can never be taken for a protocol ("a:b.mp4") or for an option.
        container = av.open(str(path.absolute()), "r", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{path} cannot be read as a video, a picture or a sound ({reason}); choose another file."
        ) from error
    with container:
        if container.format.name in _NOT_FOOTAGE:
            raise InputError(f"{path} is text, not a video, a picture or a sound; choose another file.")
        if container.format.name == "webp_pipe" and _is_animated_webp(path):
            raise InputError(f"{path} is an animated WebP, of which libav reads stills only; make it a GIF or an MP4.")
        yield container


def check_readable(path: Path) -> None:
    """Raise InputError for a path at which there is no file with something in it."""
    require(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of a video, a picture or a sound.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; the recording or the download may have failed.")


def _is_animated_webp(path: Path) -> bool:
    """By the flags of the extended header (WebP container specification)."""
    with path.open("rb") as file:
        header = file.read(21)
    return header[12:16] == b"VP8X" and header[20:] > b"" and bool(header[20] & 2)


def pictures_in(container: InputContainer) -> list[VideoStream]:
    """The moving or still pictures of a file, the one that players choose first: the default one, or the first.

    Covers of songs and thumbnails do not count.
    """
    beside = Disposition.attached_pic | Disposition.timed_thumbnails
    known = [s for s in container.streams.video if not s.disposition & beside and s.codec_context is not None]
    return sorted(known, key=lambda stream: not stream.disposition & Disposition.default)


def video_stream(container: InputContainer) -> VideoStream | None:
    """The picture of a file that players choose."""
    return next(iter(pictures_in(container)), None)


def require_video(container: InputContainer, path: Path) -> VideoStream:
    """The picture of a file.

    Raises:
        InputError: the file has none, for example a sound recording.
    """
    stream = video_stream(container)
    if stream is None:
        raise InputError(f"{path} has no picture that can be decoded; give a video or a still image.")
    return stream


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The sound of a file that players choose: of those that can be decoded, the first marked as default, or the first.

    Phones write tracks beside it that few programs know.
    """
    known = [
        s for s in container.streams.audio if s.codec_context is not None and s.sample_rate and layout_of(s).nb_channels
    ]
    return next((stream for stream in known if stream.disposition & Disposition.default), next(iter(known), None))


def require_audio(container: InputContainer, path: Path) -> AudioStream:
    """The sound of a file.

    Raises:
        InputError: the file has none.
    """
    stream = audio_stream(container)
    if stream is None:
        raise InputError(f"{path} has no sound that can be decoded; give a recording with speech.")
    return stream


def seconds(item: Packet[Any] | VideoFrame | AudioFrame, stream: VideoStream | AudioStream) -> float | None:
    """Presentation time of a packet or frame in seconds of the file's own clock; None when it has none."""
    stamp = item.pts if item.pts is not None else item.dts
    base = item.time_base or clock(stream)  # the last frames of a stream come without one
    return float(stamp * base) if stamp is not None else None


def clock(stream: VideoStream | AudioStream) -> Fraction:
    """Seconds of one tick of a stream's time stamps."""
    return stream.time_base or Fraction(1, av.time_base)


def layout_of(sound: AudioStream | AudioFrame) -> AudioLayout:
    """The layout of a stream or of a decoded frame; the only way by which either may be asked for it.

    PyAV 18.1 frees some that still belong to libav: a layout in an order of its own, as CAF, AIFF and QuickTime have
    them, holds a list that libav frees, and PyAV's object frees it once more, which ends the process. That object is
    kept forever: some hundred bytes.
    """
    layout = sound.layout
    if "channels (" in layout.name:
        pythonapi.Py_IncRef(py_object(layout))
    return layout
