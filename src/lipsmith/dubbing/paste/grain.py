"""Film grain and sensor noise: a drawn mouth has none, and a still patch in a living picture is seen at once."""

from __future__ import annotations

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_KERNEL: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_SIDE: Final = 256
_MOST: Final = 4.0
_LEAST: Final = 0.4
_MEMORY: Final = 0.7
# Frames between two measurements.
_EVERY: Final = 4
_TILE: Final = 512


class Grain:
    """Makes the noise that pictures lack, at a level that changes slowly."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self.restart()

    def restart(self) -> None:
        """Forget the level: another scene follows."""
        self._frame, self._level = 0, 0.0

    def missing(self, drawn: NDArray[np.float32], source: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The noise `(h, w, 1)` that `drawn` `(h, w, 3)` lacks beside `source`, which it will replace."""
        if self._frame % _EVERY == 0:
            lacking = min(_MOST, max(0.0, noise_level(source) ** 2 - noise_level(drawn) ** 2) ** 0.5)
            self._level = lacking if self._frame == 0 else _MEMORY * self._level + (1 - _MEMORY) * lacking
        self._frame += 1
        if self._level < _LEAST:
            return np.zeros((1, 1, 1), np.float32)
        return np.float32(self._level) * self._noise(drawn.shape[0], drawn.shape[1])[..., None]

    def _noise(self, height: int, width: int) -> NDArray[np.float32]:
        """White noise of deviation 1, `(height, width)`: a shifted view of one tile, which is faster than new noise."""
        # From the first quarter, so that what is repeated beyond the tile is itself a large piece.
        x, y = self._random.integers(0, _TILE // 2, 2)
        view = _tile()[y : y + height, x : x + width]
        down, right = height - view.shape[0], width - view.shape[1]
        return np.asarray(cv2.copyMakeBorder(view, 0, down, 0, right, cv2.BORDER_WRAP), np.float32)


@cache
def _tile() -> NDArray[np.float32]:
    """White noise, one megabyte that all faces of a film share."""
    return np.random.default_rng(0).standard_normal((_TILE, _TILE), dtype=np.float32)


def noise_level(image: NDArray[np.uint8] | NDArray[np.float32]) -> float:
    """Standard deviation, in gray levels, of the noise in an image `(h, w, 3)`; 0 for one under 3 pixels wide or high.

    J. Immerkaer, "Fast noise variance estimation" (1996), with a median in place of the mean, which edges do not move.
    """
    if min(image.shape[:2]) < 3:
        return 0.0
    top, left = (max(0, (side - _SIDE) // 2) for side in image.shape[:2])
    green = image[top : top + _SIDE, left : left + _SIDE, 1].astype(np.float32)
    second = cv2.filter2D(green, -1, _KERNEL)[1:-1, 1:-1]
    return float(np.median(np.abs(second))) / (6 * 0.6745)
