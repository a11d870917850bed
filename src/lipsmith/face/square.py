"""A rotated square of the picture: the input of a network, and the mapping back to source pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.shrink import UNIT_SQUARE, shrink


@dataclass(frozen=True)
class Square:
    """A square region of a picture, in source pixels (the center of the first pixel is (0.5, 0.5))."""

    x: float
    """Center."""
    y: float
    """Center."""
    side: float
    """Side, > 0."""
    angle: float = 0.0
    """Direction of the square's own x axis, radians, clockwise as seen (y points down)."""

    def scaled(self, factor: float) -> Square:
        """The same square, larger by `factor` about its center."""
        return replace(self, side=self.side * factor)

    def to_source(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Source pixels of points (..., 2) given in [0, 1] of the square."""
        across, down = np.moveaxis((np.asarray(points, np.float64) - 0.5) * self.side, -1, 0)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        source = np.stack([self.x + cos * across - sin * down, self.y + sin * across + cos * down], -1)
        return source.astype(np.float32)

    def from_source(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Inverse of `to_source`."""
        x, y = np.moveaxis(np.asarray(points, np.float64) - (self.x, self.y), -1, 0)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return (np.stack([cos * x + sin * y, cos * y - sin * x], -1) / self.side + 0.5).astype(np.float32)

    def pixels(self, image: NDArray[np.uint8], size: int, border: int = cv2.BORDER_CONSTANT) -> NDArray[np.uint8]:
        """The region (size, size, 3) of image (H, W, 3), bilinear; `border` as in OpenCV."""
        scale = self.side / size
        if scale > 2:  # bilinear sampling would skip pixels: average them first
            step = int(scale)
            part = shrink(image, self.to_source(UNIT_SQUARE), step, 2 * step)
            left, top = part.origin.tolist()
            small = Square((self.x - left) / step, (self.y - top) / step, self.side / step, self.angle)
            return small.pixels(part.image, size, border)
        cos, sin = scale * math.cos(self.angle), scale * math.sin(self.angle)
        # OpenCV puts pixel centers at whole numbers: half a pixel is added, then taken off.
        middle = (size - 1) / 2
        back = np.array(
            [
                [cos, -sin, self.x - 0.5 - cos * middle + sin * middle],
                [sin, cos, self.y - 0.5 - sin * middle - cos * middle],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(image, back, (size, size), flags=flags, borderMode=border), np.uint8)


def around(points: NDArray[np.floating], angle: float, scale: float) -> Square:
    """The square at `angle` around points (n, 2): their box in that direction, long side times `scale`."""
    upright = Square(0.0, 0.0, 1.0, angle)
    own = upright.from_source(points)
    low, high = own.min(0), own.max(0)
    x, y = upright.to_source((low + high) / 2)
    return Square(float(x), float(y), float((high - low).max()) * scale, angle)


def direction(start: NDArray[np.floating], end: NDArray[np.floating]) -> float:
    """Angle of the vector from start to end, radians."""
    return math.atan2(float(end[1] - start[1]), float(end[0] - start[0]))
