"""A HEIC file as phones write it: HEVC tiles and a grid that joins them (ISO/IEC 23008-12, section 6.6.2.3)."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

TILE = 64


def tiled_heic(path: Path, image: NDArray[np.uint8], primaries: int = 1, transfer: int = 13) -> Path:
    """Write `image` (128, 128, 3) as four tiles that declare these color code points."""
    corners = [(y, x) for y in (0, TILE) for x in (0, TILE)]
    written = [_tile(path, image[y : y + TILE, x : x + TILE]) for y, x in corners]
    config, tiles = written[0][0], tuple(data for _, data in written)
    head = _box(b"ftyp", b"heic", struct.pack(">I", 0), b"mif1heic")
    colors = _box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, 0))
    meta = _meta(len(head) + len(_meta(0, config, tiles, colors)) + 8, config, tiles, colors)
    path.write_bytes(head + meta + _box(b"mdat", *tiles))
    return path


def _box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _tile(path: Path, image: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Return the decoder configuration and the picture."""
    film = path.with_suffix(".mp4")
    with av.open(str(film), "w") as container:
        options = {"x265-params": "log-level=none:keyint=1", "crf": "4"}
        stream = container.add_stream("libx265", rate=1, options=options)
        stream.width, stream.height, stream.pix_fmt = TILE, TILE, "yuv420p"
        stream.codec_context.codec_tag = "hvc1"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode(None))
    data = film.read_bytes()
    film.unlink()
    return _content(data, b"hvcC"), _content(data, b"mdat")


def _content(data: bytes, kind: bytes) -> bytes:
    at = data.find(kind)
    return data[at + 4 : at - 4 + struct.unpack(">I", data[at - 4 : at])[0]]


def _meta(at: int, config: bytes, tiles: tuple[bytes, ...], colors: bytes) -> bytes:
    def entry(number: int, kind: bytes, hidden: int) -> bytes:
        return _full(b"infe", 2, hidden, struct.pack(">HH4s", number, 0, kind), b"\0")

    items = b""
    for number, data in enumerate(tiles, 1):
        items += struct.pack(">HHHHII", number, 0, 0, 1, at, len(data))
        at += len(data)
    grid = struct.pack(">BBBBHH", 0, 0, 1, 1, 2 * TILE, 2 * TILE)
    items += struct.pack(">HHHHII", 5, 1, 0, 1, 0, len(grid))
    entries = [entry(number, b"hvc1", 1) for number in range(1, 5)] + [entry(5, b"grid", 0)]
    sizes = [_full(b"ispe", 0, 0, struct.pack(">II", side, side)) for side in (TILE, 2 * TILE)]
    owned = [struct.pack(">HBBBB", number, 3, 0x81, 2, 4) for number in range(1, 5)]
    owned.append(struct.pack(">HBBB", 5, 2, 3, 4))
    properties = _box(b"ipco", _box(b"hvcC", config), *sizes, colors)
    return _full(
        b"meta",
        0,
        0,
        _full(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"pict"), b"\0"),
        _full(b"pitm", 0, 0, struct.pack(">H", 5)),
        _full(b"iloc", 1, 0, struct.pack(">BBH", 0x44, 0, 5), items),
        _full(b"iinf", 0, 0, struct.pack(">H", 5), *entries),
        _full(b"iref", 0, 0, _box(b"dimg", struct.pack(">HH4H", 5, 4, 1, 2, 3, 4))),
        _box(b"iprp", properties, _full(b"ipma", 0, 0, struct.pack(">I", 5), *owned)),
        _box(b"idat", grid),
    )
