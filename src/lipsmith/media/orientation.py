"""The display matrix of phones and cameras: which way up a decoded frame is to be shown."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from av.sidedata.sidedata import Type as SideDataType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from av.buffer import Buffer
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become upright ones: x' = a x + c y, y' = b x + d y; quarter turns and mirrors."""

    a: int = 1
    b: int = 0
    c: int = 0
    d: int = 1

    @property
    def transposes(self) -> bool:
        """Whether width and height change places."""
        return self.a == 0

    @property
    def mirrored(self) -> bool:
        """Whether the stored frame is flipped left to right before it is turned."""
        return self.a * self.d - self.b * self.c < 0

    @property
    def rotation(self) -> int:
        """The turn in degrees clockwise: 0, 90, 180 or 270."""
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


def orientation_of(frame: VideoFrame, path: Path) -> Orientation:
    """The nearest quarter turn, with or without a mirror, to the display matrix of a file's frame."""
    try:
        side_data = cast("Mapping[SideDataType, Buffer]", frame.side_data)
    except ValueError:  # PyAV gives up on kinds of side data that it does not know, EXIF among them
        return _from_exif(path) or _from_rotation(frame.rotation)
    data = side_data.get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].astype(np.int64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(a=-1 if a < 0 else 1, b=0, c=0, d=-1 if d < 0 else 1)
    return Orientation(a=0, b=-1 if b < 0 else 1, c=-1 if c < 0 else 1, d=0)


def _from_rotation(counterclockwise: int) -> Orientation:
    turns = (Orientation(), Orientation(0, 1, -1, 0), Orientation(-1, 0, 0, -1), Orientation(0, -1, 1, 0))
    return turns[round(-counterclockwise / 90) % 4]


_EXIF_ORIENTATIONS = {
    1: Orientation(1, 0, 0, 1),
    2: Orientation(-1, 0, 0, 1),
    3: Orientation(-1, 0, 0, -1),
    4: Orientation(1, 0, 0, -1),
    5: Orientation(0, 1, 1, 0),
    6: Orientation(0, 1, -1, 0),
    7: Orientation(0, -1, -1, 0),
    8: Orientation(0, -1, 1, 0),
}
_LARGEST_PICTURE = 1 << 26  # bytes; more is no photograph with EXIF but a film


def _from_exif(path: Path) -> Orientation | None:
    """Orientation from the EXIF block (TIFF 6.0, tag 274) of a picture, wherever in the file it stands."""
    if path.stat().st_size > _LARGEST_PICTURE:
        return None
    data = path.read_bytes()
    for mark, order in ((b"II*\0", "<"), (b"MM\0*", ">")):
        start = data.find(mark)
        if start >= 0:
            with suppress(struct.error):
                return _EXIF_ORIENTATIONS.get(_orientation_tag(data[start:], order))
    return None


def _orientation_tag(tiff: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == 274:
            return int(value)
    return 1
