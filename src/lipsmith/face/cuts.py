"""Finds where a shot ends: cuts from one frame to the next, and dissolves, in which one shot slowly becomes another."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.media.color import FilmedPicture, Picture

Thumbnail = NDArray[np.float32]
"""Luma (24, 24) in [0, 255]."""

THUMBNAIL_SIZE: Final = 24
"""Side of the compared thumbnails: coarse, so that the motion of a face changes little."""
MAX_SHIFT: Final = 3
"""Thumbnail pixels, an eighth of the picture: the largest camera motion between frames that is compensated."""
MIN_DIFFERENCE: Final = 0.15
"""Smallest difference that can be a cut. Different people in similar framing differ by at least this."""
CERTAIN_DIFFERENCE: Final = 0.5
"""Difference that counts as a cut even in shaky film."""
RECENT_FACTOR: Final = 2.0
"""Factor on the largest recent difference that a cut must reach, so that shaky footage is not full of cuts."""
RECENT_FRAMES: Final = 12
"""Frames that count as recent."""

_LENGTHS: Final = np.array((6, 8, 10, 12, 15, 19, 24, 30, 38, 48, 60))
"""Frames from the last of one shot to the first of the next in the dissolves that are looked for."""
_EVERY: Final = 4
"""Frames from one search for the end of a dissolve to the next."""
_MEAN_RESIDUAL: Final = 0.02
_MAX_RESIDUAL: Final = 0.05
"""What mixtures of both ends leave unexplained of the frames between, as a share of the difference of the ends, both
squared. In 2,502 films without dissolves, 126,716 frames, nothing stays below both."""
_NEW: Final = 0.3
"""Least part of the change, squared, that is no other light."""
_UNEVEN: Final = 0.2
"""Largest deviation of the share of the next shot from a linear rise."""
_LEAST: Final = 25.0
"""Mean squared difference of the ends, levels of 255, below which a dissolve would be noise."""


def thumbnail(image: Picture) -> Thumbnail:
    """The thumbnail of image (H, W, 3) RGB."""
    step = max(min(image.shape[:2]) // (8 * THUMBNAIL_SIZE), 1)
    pixels = image.plane(0) if isinstance(image, FilmedPicture) else image
    small = cv2.resize(pixels[::step, ::step], (THUMBNAIL_SIZE, THUMBNAIL_SIZE), interpolation=cv2.INTER_AREA)
    if isinstance(image, FilmedPicture):
        return np.asarray(small if image.full else (small - 16.0) * (255 / 219), np.float32)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)


def difference(first: Thumbnail, second: Thumbnail) -> float:
    """Dissimilarity in [0, 2]: 1 - correlation at the best shift.

    Correlation ignores changes of exposure and contrast; the shift compensates for camera motion. The inner part of
    each thumbnail is matched within the other, and the two results are averaged.
    """
    inner = slice(MAX_SHIFT, -MAX_SHIFT)

    def matched(part: Thumbnail, whole: Thumbnail) -> float:
        return float(cv2.matchTemplate(whole, part[inner, inner], cv2.TM_CCOEFF_NORMED).max())

    return 1 - (matched(first, second) + matched(second, first)) / 2


class CutDetector:
    """Decides frame by frame whether a new shot begins."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT_FRAMES)
        self._last: Thumbnail | None = None

    def __call__(self, current: Thumbnail) -> bool:
        """Whether a new shot begins with the `current` frame. None begins with the first."""
        if not _is_comparable(current):
            return False
        last, self._last = self._last, current
        if last is None:
            return False
        change = difference(last, current)
        cut = change >= max(MIN_DIFFERENCE, min(CERTAIN_DIFFERENCE, RECENT_FACTOR * max(self._recent, default=0.0)))
        # A cut in shaky footage may be a jolt, so for a while the next cut needs twice the smallest difference.
        self._recent.append(min(change, MIN_DIFFERENCE) if cut else change)
        return cut


def _is_comparable(picture: Thumbnail) -> bool:
    """False for flashes and black frames, which are skipped in the comparison."""
    return float(picture.std()) > 4 and float((picture > 245).mean()) < 0.4


class Dissolve(NamedTuple):
    """A slow change from one shot to the next, in numbers of frames."""

    begin: int
    """The last frame that shows the earlier shot alone."""
    middle: int
    """The first frame that shows more of the later shot."""
    end: int
    """The first frame that shows the later shot alone."""


class DissolveDetector:
    """Finds dissolves, some frames after they have ended.

    The frames between are mixtures of both ends, with a share of the later one that rises evenly.
    """

    def __init__(self) -> None:
        self._frames = 0
        self._thumbnails: deque[Thumbnail] = deque(maxlen=int(_LENGTHS[-1]) + 1)
        self._best: tuple[float, Dissolve] | None = None
        """The dissolve between the most different frames so far, and that difference: others are parts of it."""

    def restart(self) -> None:
        """Look for no dissolve that begins before the next frame."""
        self._thumbnails.clear()
        self._best = None

    def __call__(self, current: Thumbnail) -> Dissolve | None:
        """The dissolve that has ended, if the `current` frame, the next one, tells."""
        if _is_comparable(current):
            self._thumbnails.append(current)
        else:  # a fade from or to one color is no dissolve
            self.restart()
        searched = self._thumbnails and self._frames % _EVERY == 0
        found = max(self._ending_here(), default=None) if searched else None
        self._frames += 1
        if self._best is None or (found is not None and found[0] > self._best[0]):
            self._best = found
            return None
        dissolve = self._best[1]
        if self._frames - dissolve.end <= max(_EVERY, (dissolve.end - dissolve.begin) // 3):
            return None
        for _ in range(len(self._thumbnails) - (self._frames - dissolve.end)):
            self._thumbnails.popleft()
        self._best = None
        return dissolve

    def _ending_here(self) -> list[tuple[float, Dissolve]]:
        """Dissolves that end with the newest frame, and how much their ends differ."""
        shown = np.stack(self._thumbnails).reshape(len(self._thumbnails), -1)
        lengths = _LENGTHS[: np.searchsorted(_LENGTHS, len(shown))]
        change = shown[-1] - shown[-1 - lengths]
        size = np.maximum((change**2).sum(1), np.float32(1))
        halfway = shown[-1 - lengths // 2] - shown[-1 - lengths]
        share = (halfway * change).sum(1) / size
        unlike = (halfway**2).sum(1) / size - share**2
        likely = (size >= _LEAST * shown.shape[1]) & (np.abs(share - 0.5) < _UNEVEN) & (unlike <= _MAX_RESIDUAL)
        found = []
        for length, amount in zip(lengths[likely].tolist(), size[likely].tolist(), strict=True):
            middle = _middle(shown[-1 - length :])
            if middle is not None:
                begin = self._frames - length
                found.append((amount, Dissolve(begin, begin + middle, self._frames)))
        return found


def _middle(shown: NDArray[np.float32]) -> int | None:
    """Index of the first of `shown` (n, pixels) that is nearer to the last than to the first; None if they are no
    dissolve."""
    rest, change = shown[1:-1] - shown[0], shown[-1] - shown[0]
    size = change @ change
    shares = rest @ change / size
    residuals = (rest**2).sum(1) / size - shares**2
    if _new(shown[0], shown[-1]) < _NEW * size:  # a fade
        return None
    if residuals.mean() > _MEAN_RESIDUAL or residuals.max() > _MAX_RESIDUAL:
        return None
    if np.abs(shares - np.arange(1, len(shown) - 1) / (len(shown) - 1)).max() > _UNEVEN:
        return None
    ends = [np.ascontiguousarray(end.reshape(THUMBNAIL_SIZE, THUMBNAIL_SIZE)) for end in (shown[0], shown[-1])]
    if difference(*ends) < MIN_DIFFERENCE:
        return None
    return 1 + int(np.argmax(shares > 0.5))


def _new(first: NDArray[np.float32], last: NDArray[np.float32]) -> float:
    """How much of the last frame (pixels,) is not the first one in another light, which is all that a fade changes."""
    before, after = first - first.mean(), last - last.mean()
    return float(max(after @ after - (before @ after) ** 2 / max(before @ before, 1.0), 1.0))
