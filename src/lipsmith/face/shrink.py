"""A part of a picture, averaged to a smaller size before it is sampled: interpolation alone would alias."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats

UNIT_SQUARE: Final = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
"""(4, 2): corners of a crop in its own units."""


class Part(NamedTuple):
    """A part of a picture, copied."""

    image: NDArray[np.uint8]
    """(h, w, 3)."""
    origin: NDArray[np.int64]
    """(2,): its corner (x, y) in the picture, pixels."""
    step: NDArray[np.float64]
    """(2,): pixels of the picture to one of its own, across and down."""

    def own(self, transform: Floats) -> NDArray[np.float64]:
        """The transform `(2, 3)` from this part's pixels that equals `transform` from the picture's pixels."""
        linear = transform[:, :2]
        return np.column_stack([linear * self.step, transform[:, 2] + linear @ self.origin])


def shrink(image: NDArray[np.uint8], around: Floats, factor: int, margin: float = 0.0) -> Part:
    """The part of an image `(H, W, 3)` around points `(n, 2)`, pixels, as means over `factor` x `factor` pixels.

    `margin`: pixels on each side. The grid of means is fixed to the picture, so that a still background does not
    flicker while the part moves; up to `factor - 1` pixels at the picture's right and lower edges are left out. For
    points outside the picture the nearest pixels are taken, so that the part is never empty.
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
