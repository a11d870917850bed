"""What thumbnails tell of a film: cuts, dissolves, in which one shot slowly becomes another, and what has changed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import Square
from lipsmith.media.color import FilmedPicture, Picture

Thumbnail = NDArray[np.float32]
"""Luma (24, 24) in [0, 255]."""
Numbers = int | NDArray[np.intp]
"""Numbers of frames."""
Values = NDArray[np.float32]
"""One for each of these frames."""

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

_CHANGE: Final = 3.0
"""Levels of 255 from which a cell has changed: noise changes one by less than 1, a face that covers half of it by 9."""
_LOOKS: Final = 4
"""Of so many looks one is at everything: a small face that turns or becomes sharp may change no cell so much."""

_LENGTHS: Final = np.arange(6, 61)
"""Frames from the last of one shot to the first of the next in the dissolves that are looked for."""
_NOVELTY: Final = 0.2
"""Least novelty of the end of a dissolve. Fades have less: their ends are the same in another light, or one is flat."""
_RESIDUAL: Final = 0.15
"""What mixtures of both ends leave unexplained of any frame between, as a share of the difference of the ends, both
squared, per novelty: the more the ends differ, the less a motion explains. In 2,502 films without dissolves, 126,716
frames, and in 1,296 pans over faces, nothing stays below."""
_UNEVEN: Final = 0.2
"""Largest deviation of the share of the next shot from a linear rise."""
_LEAST: Final = 100.0
"""Mean squared difference of the ends, levels of 255, below which a dissolve would be noise."""
_WAIT: Final = 4
"""Frames after a dissolve in which a longer one may still be found."""


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
    contrast = cv2.meanStdDev(picture)[1].item()  # numpy takes eight times as long
    return bool(contrast > 4 and np.count_nonzero(picture > 245) < 0.4 * picture.size)


class Changes:
    """Tells where a film has changed since somebody looked there."""

    def __init__(self) -> None:
        self._seen = self._seen_now = np.full((THUMBNAIL_SIZE, THUMBNAIL_SIZE), -np.inf, np.float32)
        self._looks = 0

    def look(self, current: Thumbnail, aside: Iterable[Square], height: int, width: int) -> Callable[[Square], bool]:
        """Whether a square of the `current` picture, of `height` and `width`, has changed; in one of
        `_LOOKS` looks, the first, all count as changed.

        The squares `aside` are of no interest. Until `remember` is called, nobody has looked.
        """
        changed = np.abs(current - self._seen) >= (_CHANGE if self._looks % _LOOKS else 0)
        for square in aside:
            changed[_cells(square, height, width)] = False
        self._seen_now = np.where(changed, current, self._seen)
        return lambda square: bool(changed[_cells(square, height, width)].any())

    def remember(self) -> None:
        """Somebody has looked at all that had changed."""
        self._seen, self._looks = self._seen_now, self._looks + 1


def _cells(square: Square, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the cells that a square of a picture touches."""
    spans = ((square.y, height), (square.x, width))
    ends = [(center - square.side / 2, center + square.side / 2, THUMBNAIL_SIZE / length) for center, length in spans]
    rows, columns = (slice(max(0, int(low * scale)), max(0, math.ceil(high * scale))) for low, high, scale in ends)
    return rows, columns


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
        self._recent = _RecentFrames()
        self._frames = self._first = 0
        """Number of frames seen, and the first that a dissolve may begin with."""
        self._best: tuple[float, Dissolve] | None = None
        """The dissolve between the most different frames so far, and that difference: others are parts of it."""

    def restart(self) -> None:
        """Look for no dissolve that begins before the next frame."""
        self._first, self._best = self._frames, None

    def __call__(self, current: Thumbnail) -> Dissolve | None:
        """The dissolve that has ended, if the `current` frame, the next one, tells."""
        self._recent.add(self._frames, current)
        self._frames += 1
        if not _is_comparable(current):  # a fade from or to one color is no dissolve
            self.restart()
        self._best = self._ending_with(self._frames - 1) or self._best
        if self._best is None:
            return None
        dissolve = self._best[1]
        if self._frames - dissolve.end <= max(_WAIT, (dissolve.end - dissolve.begin) // 3):
            return None
        self._first, self._best = dissolve.end, None
        return dissolve

    def _ending_with(self, last: int) -> tuple[float, Dissolve] | None:
        """The dissolve up to frame `last` whose ends differ more than those of the best so far, and how much."""
        begins = last - _LENGTHS[: max(last - self._first - _LENGTHS[0] + 1, 0)]
        amounts = self._recent.distances(begins, last)
        enough = amounts > (_LEAST if self._best is None else self._best[0])
        begins, amounts = begins[enough], amounts[enough]
        if not begins.size:
            return None
        shares, residuals = self._recent.mixtures(begins, (begins + last + 1) // 2, last)
        novelty = self._recent.novelty(begins, last)
        likely = (novelty >= _NOVELTY) & (np.abs(shares - 0.5) < _UNEVEN) & (residuals <= _RESIDUAL * novelty)
        for index in sorted(np.flatnonzero(likely).tolist(), key=lambda index: -amounts[index]):
            dissolve = self._between(int(begins[index]), last)
            if dissolve is not None:
                return float(amounts[index]), dissolve
        return None

    def _between(self, first: int, last: int) -> Dissolve | None:
        """The dissolve from frame `first` to `last`, or a part of these frames if the others hardly change."""
        frames = np.arange(first + 1, last)
        shares, residuals = self._recent.mixtures(first, frames, last)
        needed = max(_NOVELTY, residuals.max() / _RESIDUAL)
        if np.abs(shares - (frames - first) / (last - first)).max() > _UNEVEN:
            return None
        if self._recent.novelty(first, last) < needed or self._recent.shifted_novelty(first, last) < needed:
            return None
        middle = int(frames[np.argmax(shares > 0.5)])
        rising = (shares > 0.1) & (shares < 0.9)
        duration, begin = np.polyfit(shares[rising], frames[rising], 1)
        begin, end = math.floor(begin), math.ceil(begin + duration)
        return Dissolve(min(max(begin, first), middle - 1), middle, max(min(end, last), middle))


class _RecentFrames:
    """The last frames, and how they compare. All follows from their inner products, of which each frame adds a row."""

    def __init__(self) -> None:
        self._count = int(_LENGTHS[-1]) + 1
        self._pictures = np.zeros((self._count, THUMBNAIL_SIZE**2), np.float32)
        self._products = np.zeros((self._count, self._count), np.float32)
        self._squares, self._means, self._contrasts = np.zeros((3, self._count), np.float32)

    def add(self, frame: int, picture: Thumbnail) -> None:
        """Keep frame number `frame`, the next one."""
        place = frame % self._count
        self._pictures[place] = picture.ravel()
        products = self._pictures @ self._pictures[place] / np.float32(picture.size)
        self._products[place] = self._products[:, place] = products
        self._squares[place] = products[place]
        self._means[place], self._contrasts[place] = np.ravel(cv2.meanStdDev(picture))

    def distances(self, first: Numbers, last: Numbers) -> Values:
        """Mean squared difference of frames, levels of 255."""
        a, b = first % self._count, last % self._count
        return np.asarray(self._squares[a] + self._squares[b] - 2 * self._products[a, b])

    def mixtures(self, first: Numbers, between: Numbers, last: Numbers) -> tuple[Values, Values]:
        """How much of the last frame the mixtures with the first one have that are nearest to those between, and what
        these mixtures leave unexplained, as a share of the distance of first and last."""
        distance = self.distances(first, last)
        before = self.distances(first, between) / distance
        shares = np.asarray((before - self.distances(between, last) / distance + 1) / 2, np.float32)
        return shares, before - shares**2

    def novelty(self, first: Numbers, last: Numbers) -> Values:
        """1 - correlation, times the ratio of the contrasts of both frames."""
        a, b = first % self._count, last % self._count
        common = self._products[a, b] - self._means[a] * self._means[b]
        return np.asarray((1 - common / (self._contrasts[a] * self._contrasts[b])) * self._ratio(a, b))

    def shifted_novelty(self, first: int, last: int) -> float:
        """The same at the best shift, as in `difference`."""
        a, b = first % self._count, last % self._count
        before, after = self._pictures[[a, b]].reshape(2, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
        return difference(before, after) * float(self._ratio(a, b))

    def _ratio(self, a: Numbers, b: Numbers) -> Values:
        """Of the lower contrast to the higher, of the frames at these places."""
        before, after = self._contrasts[a], self._contrasts[b]
        return np.asarray(np.minimum(before, after) / np.maximum(before, after))
