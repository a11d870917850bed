"""Pictures from which the references of a face are chosen: a bounded number, spread evenly over its shot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import cv2
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
_PLAIN: Final = 256
"""Side, pixels, from which on pictures wait as JPEG: those of large faces take a tenth of the memory."""
_MARGIN: Final = 0.1
"""Crop sides that a picture reaches beyond the crop: the smoothed crop differs a little from the frame's own."""


class Candidate(NamedTuple):
    """The part of one frame that its crop may need."""

    frame: int
    """Number of the frame in the film."""
    part: Part
    """Its picture is `(1, n, 1)` bytes of JPEG where it is large."""

    def crop(self, transform: Floats, size: int) -> NDArray[np.uint8]:
        """The crop `(size, size, 3)` by a transform `(2, 3)` from the film's pixels."""
        image = self.part.image if self.part.image.shape[-1] == 3 else _decoded(self.part.image)
        return crop_image(image, self.part.own(transform), size)


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
        part = shrink(image, corners, factor)
        return part._replace(image=_encoded(part.image)) if max(part.image.shape) > _PLAIN else part


def _encoded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    settings = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return np.asarray(cv2.imencode(".jpg", image[..., ::-1], settings)[1], np.uint8).reshape(1, -1, 1)


def _decoded(jpeg: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(jpeg.ravel(), cv2.IMREAD_COLOR_RGB), np.uint8)
