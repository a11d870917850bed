"""What a file is by its first bytes, before any decoder sees it.

Only films, pictures and sounds pass. That keeps away what libav also opens: playlists and scripts that name other files
and addresses, subtitles, text.
"""

from __future__ import annotations

from typing import Final

HEAD: Final = 4096
"""Bytes that are looked at."""

_STARTS: Final = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"OggS",
    b"FLV\x01",
    b"ID3",
    b"fLaC",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",  # TIFF
    b"MM\x00*",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF: WMV, WMA
    b"#!AMR",
    b"caff",
)
_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot", b"jP  ")
_RIFF: Final = (b"AVI ", b"WAVE", b"WEBP")
_PACKETS: Final = ((0, 188), (4, 192), (0, 204))
"""Where MPEG transport streams have their first sync byte, and how far it is to the next."""


def is_media(head: bytes) -> bool:
    """Whether `head`, the first `HEAD` bytes of a file, begins a film, a picture or a sound."""
    return (
        head.startswith(_STARTS)
        or head[4:8] in _BOXES
        or (head[:4] in (b"RIFF", b"RF64") and head[8:12] in _RIFF)
        or (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"))
        or (head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00")
        or _is_mpeg_audio(head)
        or any(_is_transport_stream(head, first, step) for first, step in _PACKETS)
    )


def picture_pixels(head: bytes) -> int:
    """Pixels that a PNG, GIF or BMP says it has; 0 for other files.

    These shrink to a thousandth, so that a small file can fill the memory.
    """
    if head.startswith(b"\x89PNG"):
        return int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big")
    if head.startswith(b"GIF8"):
        return int.from_bytes(head[6:8], "little") * int.from_bytes(head[8:10], "little")
    if head.startswith(b"BM"):
        sides = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (18, 22))
        return abs(next(sides) * next(sides))
    return 0


def _is_mpeg_audio(head: bytes) -> bool:
    """An MP2, MP3 or ADTS frame: eleven set bits, then no reserved version, layer, bit rate or sample rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    if head[1] & 0xF6 == 0xF0:  # ADTS
        return (head[2] >> 2) & 0xF < 13
    version, layer = (head[1] >> 3) & 3, (head[1] >> 1) & 3
    # Layer I is nobody's, and would let text in UTF-16 pass.
    return version != 1 and layer in (1, 2) and head[2] >> 4 not in (0, 15) and (head[2] >> 2) & 3 != 3


def _is_transport_stream(head: bytes, first: int, step: int) -> bool:
    places = range(first, min(len(head), first + 8 * step), step)
    return len(places) >= 4 and all(head[place] == 0x47 for place in places)
