"""The display matrix of phones and cameras: which way up a decoded frame is to be shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from lipsmith.media.side_data import side_data_of

if TYPE_CHECKING:
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


def orientation_of(frame: VideoFrame) -> Orientation:
    """The nearest quarter turn, with or without a mirror, to a decoded frame's display matrix."""
    data = side_data_of(frame).get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].astype(np.int64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(a=-1 if a < 0 else 1, b=0, c=0, d=-1 if d < 0 else 1)
    return Orientation(a=0, b=-1 if b < 0 else 1, c=-1 if c < 0 else 1, d=0)
