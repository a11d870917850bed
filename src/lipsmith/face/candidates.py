"""Pictures from which the references of a face are chosen: a bounded number, spread evenly over its shot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import apply, crop_image, fit_transforms, invert
from lipsmith.face.landmarks import Floats
from lipsmith.face.shrink import UNIT_SQUARE, Part, shrink

if TYPE_CHECKING:
    from lipsmith.media import Frame

MOST: Final = 75
"""Pictures kept of one face. When this is reached, every second one is dropped: the others stay evenly spread over
time, and their mouth shapes distributed as in the whole shot."""
_MARGIN: Final = 0.1
"""Crop sides that a picture reaches beyond the crop: the smoothed crop differs a little from the frame's own."""


class Candidate(NamedTuple):
    """The part of one frame that its crop may need."""

    frame: int
    """Number of the frame in the film."""
    part: Part

    def crop(self, transform: Floats, size: int) -> NDArray[np.uint8]:
        """The crop `(size, size, 3)` by a transform `(2, 3)` from the film's pixels."""
        return crop_image(self.part.image, self.part.own(transform), size)


class Candidates:
    """The candidates of one face, at most `MOST`, offered frame by frame."""

    def __init__(self, size: int) -> None:
        """`size`: side of the crops that will be made of them, pixels; larger faces are kept shrunk."""
        self._size = size
        self._offered, self._stride = 0, 1
        self.kept: list[Candidate] = []

    def offer(self, frame: Frame, points: Floats) -> None:
        """Take the next frame that shows the face, of which only some are kept; `points` `(131, 2)` in its pixels."""
        row = self._offered
        self._offered += 1
        if row % self._stride:
            return
        if len(self.kept) == MOST:
            self.kept, self._stride = self.kept[::2], 2 * self._stride
            if row % self._stride:
                return
        self.kept.append(Candidate(frame.index, self._part(frame.image, points)))

    def _part(self, image: NDArray[np.uint8], points: Floats) -> Part:
        corners = apply(invert(fit_transforms(points[None])[0]), UNIT_SQUARE * (1 + 2 * _MARGIN) - _MARGIN)
        factor = max(1, int(np.ptp(corners, axis=0).max()) // (2 * self._size))
        return shrink(image, corners, factor)
