"""Detects the type of a file from its first bytes, before any decoder opens it.

Only films, pictures and sounds are accepted. libav also opens playlists and scripts that refer to other files and URLs,
subtitles and text; these are rejected.
"""

from __future__ import annotations

from typing import Final

HEAD: Final = 4096
"""Number of bytes that are checked."""

_SIGNATURES: Final = (
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
_TRANSPORT_LAYOUTS: Final = ((0, 188), (4, 192), (0, 204))
"""Position of the first sync byte of an MPEG transport stream, and distance to the next one, in bytes."""


def looks_like_media(head: bytes) -> bool:
    """Whether `head`, the first `HEAD` bytes of a file, belongs to a film, a picture or a sound."""
    return (
        head.startswith(_SIGNATURES)
        or head[4:8] in _BOXES
        or (head[:4] in (b"RIFF", b"RF64") and head[8:12] in _RIFF)
        or (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"))
        or (head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00")
        or _is_mpeg_audio(head)
        or any(_is_transport_stream(head, first, step) for first, step in _TRANSPORT_LAYOUTS)
    )


def picture_pixels(head: bytes) -> int:
    """Number of pixels in the header of a PNG, GIF or BMP; 0 for other files.

    These formats compress up to a thousandfold, so a small file can exhaust the memory.
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
    """Whether `head` is an MP2, MP3 or ADTS frame: 11 set bits, then no reserved version, layer, bit or sample rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    if head[1] & 0xF6 == 0xF0:  # ADTS
        return (head[2] >> 2) & 0xF < 13
    version, layer = (head[1] >> 3) & 3, (head[1] >> 1) & 3
    # Layer I is out of use, and accepting it would accept UTF-16 text.
    return version != 1 and layer in (1, 2) and head[2] >> 4 not in (0, 15) and (head[2] >> 2) & 3 != 3


def _is_transport_stream(head: bytes, first: int, step: int) -> bool:
    positions = range(first, min(len(head), first + 8 * step), step)
    return len(positions) >= 4 and all(head[position] == 0x47 for position in positions)
