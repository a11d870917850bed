"""Writes a visible label into a corner of the picture, because viewers do not see metadata."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

WORD: Final = "synthetic"

_HEIGHT: Final = 0.04
"""Height of the label as a share of the picture's shorter side; at least `_SMALLEST` pixels."""
_SMALLEST: Final = 14
_SHARE: Final = 0.5
"""Height of capital letters as a share of the label's height."""
_DARK: Final = 0.55
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def labeled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of `image` `(H, W, 3)` with the word in white on a darkened box in its lower right corner."""
    stamp = _stamp(min(image.shape[:2]))
    result = image.copy()
    corner = result[-stamp.shape[0] :, -stamp.shape[1] :]
    fitting = stamp[-corner.shape[0] :, -corner.shape[1] :, None]
    corner[...] = np.rint(corner * np.float32(1 - _DARK) * (1 - fitting) + 255 * fitting)
    return result


@lru_cache(maxsize=8)
def _stamp(side: int) -> NDArray[np.float32]:
    """Coverage of the box by the word, `(h, w)` in [0, 1], for a picture whose shorter side is `side`."""
    height = max(_SMALLEST, round(_HEIGHT * side))
    (_, tall), _ = cv2.getTextSize(WORD, _FONT, 1.0, 1)
    scale = _SHARE * height / tall
    thick = max(1, round(height / 14))
    (width, letters), below = cv2.getTextSize(WORD, _FONT, scale, thick)
    box = np.zeros((letters + below + height // 2, width + height // 2), np.uint8)
    cv2.putText(box, WORD, (height // 4, height // 4 + letters), _FONT, scale, 255, thick, cv2.LINE_AA)
    return np.asarray(box, np.float32) / np.float32(255)
