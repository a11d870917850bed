"""A part of a picture, averaged down before it is sampled: interpolation alone would skip pixels and alias."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats

UNIT_SQUARE: Final = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
"""(4, 2): corners of a crop in its own units."""


class Part(NamedTuple):
    """A part of a picture, with a memory of its own."""

    image: NDArray[np.uint8]
    """(h, w, 3)."""
    origin: NDArray[np.int64]
    """(2,): its corner (x, y) in the picture, pixels."""
    step: NDArray[np.float64]
    """(2,): pixels of the picture to one of its own, across and down."""

    def own(self, transform: Floats) -> NDArray[np.float64]:
        """A transform `(2, 3)` from the picture's pixels as the one from this part's pixels to the same place."""
        linear = transform[:, :2]
        return np.column_stack([linear * self.step, transform[:, 2] + linear @ self.origin])


def shrink(image: NDArray[np.uint8], around: Floats, factor: int, margin: float = 0.0) -> Part:
    """The part of an image `(H, W, 3)` round points `(n, 2)` in its pixels, as means over `factor` x `factor` pixels.

    `margin`: pixels on each side. The means are taken on a grid that is fixed to the picture, so that what stands still
    does not flicker while the part moves; up to `factor - 1` pixels at the picture's right and lower edge are left out.
    Of points beside the picture the nearest pixels are taken: there is always some part.
    """
    ends = np.array(image.shape[1::-1])
    low = np.floor(np.clip(around.min(0) - margin, 0, ends - 1)).astype(int) // factor * factor
    high = np.ceil(np.clip(around.max(0) + margin + factor - 1, 0, ends)).astype(int) // factor * factor
    (x0, y0), (x1, y1) = low, np.maximum(high, low + factor)
    part = image[y0:y1, x0:x1]
    covered = np.array(part.shape[1::-1])
    size = np.maximum(covered // factor, 1)
    small = part.copy() if factor == 1 else cv2.resize(part, size.tolist(), interpolation=cv2.INTER_AREA)
    return Part(np.asarray(small, np.uint8), low, covered / size)
