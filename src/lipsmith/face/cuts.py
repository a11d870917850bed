"""Noticing hard cuts from one picture to the next."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 24
"""Side of the thumbnails that are compared: coarse, so that a face's own motion changes little."""
REACH = 3
"""Thumbnail pixels, an eighth of the picture: how far a picture may move as a whole between frames."""
LEAST = 0.15
"""Difference from which a frame may begin a shot. Different people in similar framing differ by this or more."""
CERTAIN = 0.5
"""Difference that is a cut however restless the film."""
RATIO = 2.0
"""How far a cut stands out from the largest recent difference: shaky footage is no row of cuts."""
MEMORY = 12
"""Frames that count as recent."""


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma (24, 24) of image (H, W, 3) RGB, in [0, 255]."""
    step = max(min(image.shape[:2]) // (8 * SIZE), 1)
    small = cv2.resize(image[::step, ::step], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)


def difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """How little two thumbnails have in common, in [0, 2]: 1 - correlation at the best shift.

    Correlation is blind to a change of exposure or contrast, and the shift to a moving camera. Each
    thumbnail's inner part is sought in the other, and the two answers averaged.
    """
    inner = slice(REACH, -REACH)

    def sought(part: NDArray[np.float32], whole: NDArray[np.float32]) -> float:
        return float(cv2.matchTemplate(whole, part[inner, inner], cv2.TM_CCOEFF_NORMED).max())

    return 1 - (sought(first, second) + sought(second, first)) / 2


class CutDetector:
    """Tells, frame by frame, whether a new shot begins."""

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
        # A cut in shaky footage may be a jolt: for a while, the next must be twice the least to count.
        self._recent.append(min(change, LEAST) if cut else change)
        return cut


def _judgeable(picture: NDArray[np.float32]) -> bool:
    """False of flashes and black frames: the comparison waits for a picture that shows something."""
    return float(picture.std()) > 4 and float((picture > 245).mean()) < 0.4
