"""Opens media files: their streams, clock, chapters and metadata, and what a new film of their frames leaves out."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import py_object, pythonapi
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
from av.stream import Disposition

from lipsmith.errors import InputError
from lipsmith.files import require

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.layout import AudioLayout
    from av.audio.stream import AudioStream
    from av.container.core import Chapter as AVChapter
    from av.container.input import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


log = logging.getLogger(__name__)

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's address for media of which a part was made by a trained algorithm."""

_NOT_FOOTAGE = {"tty"}  # libav draws any text file as a film of terminal output
_KEPT: Final = {
    "title": ("title", "com.apple.quicktime.title"),
    "artist": ("artist", "com.apple.quicktime.artist"),
    "copyright": ("copyright", "com.apple.quicktime.copyright"),
    "date": ("date", "com.apple.quicktime.creationdate", "creation_time"),
}
"""Texts that a result keeps, each from the first of the keys that a film has."""
_PICTURES: Final = (
    (0, b"\x89PNG", ("PNG",)),
    (0, b"\xff\xd8\xff", ("JPEG", "MPO")),
    (0, b"II", ("TIFF",)),
    (0, b"MM", ("TIFF",)),
    (0, b"BM", ("BMP",)),
    (8, b"WEBP", ("WEBP",)),
    (4, b"jP  ", ("JPEG2000",)),
    (4, b"ftypavif", ("AVIF",)),
    (4, b"ftyphei", ("HEIF",)),
    (4, b"ftypmif1", ("HEIF", "AVIF")),
)
"""Where in a file which bytes mean which of Pillow's formats."""
_PRIVATE: Final = ("location", "gps", "make", "model", "\xa9xyz")


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


def picture_formats(path: Path) -> tuple[str, ...]:
    """The formats of still pictures, by Pillow's names, that a file may have by its first bytes; none for films."""
    with path.open("rb") as file:
        head = file.read(16)
    return next((names for at, mark, names in _PICTURES if head[at:].startswith(mark)), ())


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


@dataclass(frozen=True)
class Chapter:
    """A part of a film, in seconds from its first frame."""

    start: float
    end: float
    title: str


def kept_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Title, artist, copyright and date of a film whose keys are in lower case; place and device stay out."""
    found = {key: next((metadata[name] for name in names if metadata.get(name)), "") for key, names in _KEPT.items()}
    return {key: text for key, text in found.items() if text}


def synthetic_metadata(software: str, model: str) -> dict[str, str]:
    """Tags for a video that `software` re-spoke with `model`: `comment` for people, `description` (JSON) for programs.

    They tell what was made and by what, and nothing about the user, the sources or the machine.
    """
    record = {"digitalSourceType": SOURCE_TYPE, "software": software, "model": model}
    return {
        "comment": f"Synthetic: mouth, chin and cheeks were generated by {software} (model {model}) to match speech.",
        "description": json.dumps(record),
    }


def chapters_in(container: InputContainer, first: float) -> tuple[Chapter, ...]:
    """`first`: when the first picture is shown, in seconds of the file's clock."""
    return tuple(
        Chapter(
            float(part["start"] * base) - first, float(part["end"] * base) - first, part["metadata"].get("title", "")
        )
        for part in container.chapters()
        if (base := part["time_base"]) is not None
    )


def chapters_between(chapters: Sequence[Chapter], start: float, end: float) -> list[Chapter]:
    """The chapters of the stretch from `start` to `end`, in seconds from `start`."""
    inside = [chapter for chapter in chapters if chapter.end > start and chapter.start < end]
    return [Chapter(max(0.0, c.start - start), min(c.end, end) - start, c.title) for c in inside]


def left_out(path: Path, container: InputContainer, taken: VideoStream) -> list[str]:
    """Sentences about what a new film with a new sound lacks of this one."""
    beside = [stream for stream in container.streams if stream.index != taken.index]
    sounds = [stream for stream in beside if stream.type == "audio"]
    chapters = len(container.chapters())  # MP4 keeps these as a track that has a sample for each
    others = [
        s for s in beside if s.type not in ("audio", "video") and not (s.type == "data" and 0 < chapters == s.frames)
    ]
    kinds = Counter(f"{stream.type}{_in_language(stream.language)}" for stream in [*sounds[1:], *others])
    sentences = []
    if kinds:
        named = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items())
        sentences.append(f"{path}: beside the sound that is replaced, these streams are left out: {named}.")
    if any(part in key.lower() for key in container.metadata for part in _PRIVATE):
        sentences.append(f"{path}: the place and the device that it names are left out of the result.")
    return sentences


def _in_language(language: str | None) -> str:
    return f" ({language})" if language and language != "und" else ""


def libav_chapter(number: int, chapter: Chapter) -> AVChapter:
    """A chapter as libav takes it, to the millisecond."""
    milliseconds = (round(1000 * chapter.start), round(1000 * chapter.end))
    return {
        "id": number,
        "start": milliseconds[0],
        "end": max(milliseconds[1], milliseconds[0] + 1),
        "time_base": Fraction(1, 1000),
        "metadata": {"title": chapter.title},
    }
