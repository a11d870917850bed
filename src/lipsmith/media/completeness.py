"""Warns of files that end before the length that they declare, such as broken downloads, or refuses them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av

from lipsmith.errors import InputError
from lipsmith.media.container import OpenStream, clock, video_stream

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container.input import InputContainer
    from av.video.stream import VideoStream

_LOG = logging.getLogger(__name__)

_WHOLE: Final = 0.9
"""Share of the declared length, less a second, below which a file may be incomplete."""
_ESTIMATING: Final = {"aac", "mp3"}
"""Formats of which libav may estimate the length from the file's size."""
_OF_THE_WHOLE: Final = {"matroska,webm", "flv"}
"""Formats that declare the length of all streams together; libav repeats it for sound."""
_MAY_JUMP: Final = 0x200
"""libav's AVFMT_TS_DISCONT."""
_UNKNOWN_SIZE: Final = 0x7F000000
"""Sizes from here on are placeholders in the header of a RIFF file (WAV, AVI) that was written to a pipe."""
_FIRST_BOXES: Final = (b"ftyp", b"wide", b"free", b"skip", b"moov", b"mdat")
"""Boxes with which MP4 and QuickTime files begin (ISO/IEC 14496-12)."""
_CUT_BOXES: Final = ((b"moof", True), (b"mdat", True))
_GIF_TRAILER: Final = b";"
_PADDING: Final = 4096
"""Bytes of zeros that may follow the end of a GIF."""
_LONGEST_PAGE: Final = 65_307
"""Bytes of the longest page of an Ogg file (RFC 3533)."""


def may_jump(container: InputContainer) -> bool:
    """Whether the format, such as MPEG-TS, may set its clock anew within a file; such formats declare no length."""
    return bool(container.format.flags & _MAY_JUMP)


def require_whole_boxes(path: Path) -> None:
    """Raise InputError for an MP4 or QuickTime file whose boxes do not end with the file, or that has no index."""
    kinds: list[bytes] = []
    for kind, missing in _boxes(path):
        if not kinds and kind not in _FIRST_BOXES:
            return
        if missing:
            raise _cut_off(path, "its parts do not end with the file")
        kinds.append(kind)
    if b"moov" not in kinds:
        raise _cut_off(path, "it has no index")


def _boxes(path: Path) -> Iterator[tuple[bytes, bool]]:
    """The kind of each box of an MP4 or QuickTime file, and whether the file ends before the box, which is the last."""
    size, begin = path.stat().st_size, 0
    with path.open("rb") as file:
        while begin < size:
            file.seek(begin)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            shortest = 16 if length == 1 else 8
            if length == 1:
                length = int.from_bytes(head[8:], "big")
            length = length or size - begin  # the last box may extend to the end of the file
            whole = len(head) >= shortest and shortest <= length <= size - begin
            yield kind, not whole
            if not whole:
                return
            begin += length


def _cut_off(path: Path, why: str) -> InputError:
    return InputError(f"{path} is cut off or damaged: {why}; copy or download it again.")


def report_shortfall(source: OpenStream[VideoStream | AudioStream], begin: float, end: float) -> None:
    """Log, once, that a file whose stream lasts from `begin` to `end`, seconds of its clock, may be incomplete."""
    path, found = source.path, end - begin
    if part := _unfinished_part(source.container, path):
        report_once(path, f"{path} ends after {found:.1f} s, in the middle of {part}: it may be incomplete.")
        return
    if may_jump(source.container):
        return
    share = _declared_share(path)
    declared = share * found if share > 1 else _declared(source, begin)
    if found < _WHOLE * declared - 1:
        lengths = f"ends after {found:.1f} s, but its header says {declared:.1f} s"
        report_once(path, f"{path} {lengths}: it may be incomplete.")


def report_once(path: Path, sentence: str, level: int = logging.WARNING) -> None:
    """Log a sentence about a file, and again only if the file has changed."""
    _report(level, sentence, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _report(level: int, sentence: str, changed: int) -> None:
    _LOG.log(level, "%s", sentence)


def _declared(source: OpenStream[VideoStream | AudioStream], begin: float) -> float:
    """Seconds that a stream which begins at `begin` lasts, as the file declares or libav estimates; 0 if unknown."""
    container, stream = source.container, source.stream
    for key, text in stream.metadata.items():
        if key.startswith("DURATION"):  # Matroska's tag of the stream's end, h:mm:ss.fraction
            return _seconds(text) - max(begin, 0.0)
    if container.format.name in _OF_THE_WHOLE and stream.type == "audio" and video_stream(container) is not None:
        return 0.0
    if not stream.duration:
        return (container.duration or 0) / av.time_base - max(begin, 0.0)
    seconds, rate = float(stream.duration * clock(stream)), stream.codec_context.bit_rate
    if container.format.name in _ESTIMATING and rate and 8 * source.path.stat().st_size > _WHOLE * seconds * rate:
        return 0.0
    return seconds


def _seconds(text: str) -> float:
    try:
        hours, minutes, seconds = map(float, text.split(":"))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds


def _declared_share(path: Path) -> float:
    """Size that the header of a RIFF file declares, if larger, divided by that of the file, which libav believes."""
    with path.open("rb") as file:
        head = file.read(8)
    declared, found = 8 + int.from_bytes(head[4:], "little"), path.stat().st_size
    return declared / found if head[:4] == b"RIFF" and found < declared < _UNKNOWN_SIZE else 1.0


def _unfinished_part(container: InputContainer, path: Path) -> str:
    """What a file whose header declares no length ends in the middle of; empty if it is whole."""
    if container.format.name == "ogg":
        return "a page" if _ends_inside_a_page(path) else ""
    if container.format.name == "gif":
        return "" if _end_of(path, _PADDING).rstrip(b"\0").endswith(_GIF_TRAILER) else "the animation"
    if "mp4" in container.format.name:
        boxes = list(_boxes(path))
        return "a fragment" if any(kind == b"moof" for kind, _ in boxes) and boxes[-1] in _CUT_BOXES else ""
    return ""


def _ends_inside_a_page(path: Path) -> bool:
    """Whether an Ogg file ends before its last page does."""
    page = _end_of(path, _LONGEST_PAGE).rpartition(b"OggS")[2]
    segments = page[23 : 23 + page[22]] if len(page) > 22 else b""
    return len(page) < 23 or len(page) < 23 + page[22] + sum(segments)


def _end_of(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()
