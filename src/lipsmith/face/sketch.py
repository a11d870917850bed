"""Line drawings of the 131 points, which give the image networks the pose and the mouth shape."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import (
    CONTOUR,
    INNER_LIP,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    OUTER_LIP,
    RIGHT_BROW,
    RIGHT_EYE,
    Floats,
    ranks,
)

CLOSED: Final = tuple(ranks(chain) for chain in (OUTER_LIP, INNER_LIP, RIGHT_EYE, LEFT_EYE))
OPEN: Final = tuple(
    ranks(chain)
    for chain in (
        CONTOUR[:4] + JAW + CONTOUR[4:],  # from ear to ear through the chin
        RIGHT_BROW[:5],
        RIGHT_BROW[5:],
        LEFT_BROW[:5],
        LEFT_BROW[5:],
        (168, 6, 197, 195, 5, 4),
        (4, 45, 220, 115, 48),
        (4, 275, 440, 344, 278),
    )
)
EDGES: Final = sum(map(len, CLOSED)) + sum(len(chain) - 1 for chain in OPEN)

_FRACTION_BITS: Final = 6  # OpenCV draws at 1/64 of a pixel
_FAR: Final = 4.0  # crop sides; keeps outliers within OpenCV's integers and lines through the crop intact


def draw_sketches(points: Floats, size: int) -> NDArray[np.uint8]:
    """Antialiased one-pixel lines, `(N, size, size)` in 0..255, of points `(N, 131, 2)` in crop units.

    Points may lie outside the crop: their lines are clipped at its border, not dropped.
    """
    pixels = np.clip(points, -_FAR, _FAR) * size - 0.5
    fixed = np.round(pixels * (1 << _FRACTION_BITS)).astype(np.int32)
    canvas = np.zeros((len(points), size, size), np.uint8)
    for image, vertices in zip(canvas, fixed, strict=True):
        closed = [vertices[chain] for chain in CLOSED]
        cv2.polylines(image, closed, True, 255, 1, cv2.LINE_AA, _FRACTION_BITS)
        opened = [vertices[chain] for chain in OPEN]
        cv2.polylines(image, opened, False, 255, 1, cv2.LINE_AA, _FRACTION_BITS)
    return canvas
