"""Detects hard cuts between consecutive frames."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 24
"""Side of the compared thumbnails: coarse, so that the motion of a face changes little."""
REACH = 3
"""Thumbnail pixels, an eighth of the picture: the largest camera motion between frames that is compensated."""
LEAST = 0.15
"""Smallest difference that can be a cut. Different people in similar framing differ by this or more."""
CERTAIN = 0.5
"""Difference that is a cut in any film, however shaky."""
RATIO = 2.0
"""How many times the largest recent difference a cut must reach, so that shaky footage is not all cuts."""
MEMORY = 12
"""Frames that count as recent."""


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma (24, 24) of image (H, W, 3) RGB, in [0, 255]."""
    step = max(min(image.shape[:2]) // (8 * SIZE), 1)
    small = cv2.resize(image[::step, ::step], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)


def difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Dissimilarity of two thumbnails in [0, 2]: 1 - correlation at the best shift.

    Correlation ignores changes of exposure and contrast; the shift compensates for camera motion. The inner part of
    each thumbnail is matched within the other, and the two results are averaged.
    """
    inner = slice(REACH, -REACH)

    def matched(part: NDArray[np.float32], whole: NDArray[np.float32]) -> float:
        return float(cv2.matchTemplate(whole, part[inner, inner], cv2.TM_CCOEFF_NORMED).max())

    return 1 - (matched(first, second) + matched(second, first)) / 2


class CutDetector:
    """Decides frame by frame whether a new shot begins."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=MEMORY)
        self._last: NDArray[np.float32] | None = None

    def __call__(self, image: NDArray[np.uint8]) -> bool:
        """Whether image (H, W, 3) RGB begins a new shot. The first image does not."""
        now = thumbnail(image)
        if not _judgeable(now):
            return False
        last, self._last = self._last, now
        if last is None:
            return False
        change = difference(last, now)
        cut = change >= max(LEAST, min(CERTAIN, RATIO * max(self._recent, default=0.0)))
        # A cut in shaky footage may be a jolt: for a while, the next one needs twice the smallest difference.
        self._recent.append(min(change, LEAST) if cut else change)
        return cut


def _judgeable(picture: NDArray[np.float32]) -> bool:
    """False for flashes and black frames, which are skipped: the next usable picture is compared instead."""
    return float(picture.std()) > 4 and float((picture > 245).mean()) < 0.4
