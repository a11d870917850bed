"""Noticing hard cuts from one picture to the next."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 24
"""Side of the thumbnails that are compared: coarse enough that a face's own motion changes little."""


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma (24, 24) of image (H, W, 3), in [0, 255]."""
    step = max(min(image.shape[:2]) // (8 * SIZE), 1)
    small = cv2.resize(image[::step, ::step], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """1 - correlation of two thumbnails, in [0, 2]: blind to a change of exposure or contrast."""
    a, b = first - first.mean(), second - second.mean()
    return float(1 - (a * b).sum() / max(float(np.sqrt((a**2).sum() * (b**2).sum())), 1e-6))


class CutDetector:
    """Tells, frame by frame, whether a new shot begins."""

    def __init__(self, least: float = 0.25, ratio: float = 4.0, memory: int = 12) -> None:
        """A cut is a difference of at least `least` and of `ratio` times the median of the last `memory`."""
        self._least, self._ratio = least, ratio
        self._recent: deque[float] = deque(maxlen=memory)
        self._last: NDArray[np.float32] | None = None

    def __call__(self, image: NDArray[np.uint8]) -> bool:
        """Whether image (H, W, 3) begins a new shot. The first image does not."""
        now = thumbnail(image)
        if not _judgeable(now):
            return False
        last, self._last = self._last, now
        if last is None:
            return False
        change = difference(last, now)
        usual = float(np.median(self._recent)) if self._recent else 0.0
        cut = change >= max(self._least, self._ratio * usual)
        if cut:
            self._recent.clear()
        else:
            self._recent.append(change)
        return cut


def _judgeable(picture: NDArray[np.float32]) -> bool:
    """Flashes and black frames show too little: the comparison waits for the next picture that shows something."""
    return float(picture.std()) > 4 and float((picture > 245).mean()) < 0.6
