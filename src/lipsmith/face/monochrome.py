"""Black-and-white and toned footage: its mouths get its colors, because the networks, trained on color, tint them."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_LUMA: Final = np.array([0.299, 0.587, 0.114])
_STEP: Final = 4
"""Every how many pixels a picture is looked at."""
_DEVIATION: Final = 2.0
"""Deviation, of 255, from the tone up to which it is only noise."""


def tone_of(images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """The matrix `(3, 4)` from any color to that of its brightness in monochrome crops `(n, S, S, 3)`; None if they
    have color."""
    colors = images[:, ::_STEP, ::_STEP].reshape(-1, 3).astype(np.float64)
    shades = np.column_stack([colors @ _LUMA, np.ones(len(colors))])
    (factor, shift), *_ = np.linalg.lstsq(shades, colors, rcond=None)
    if (colors - shades @ (factor, shift)).std(0).max() > _DEVIATION:
        return None
    return np.column_stack([np.outer(factor, _LUMA), shift])


def toned(image: NDArray[np.uint8], tone: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An image `(h, w, 3)` in the colors of a `tone`."""
    return np.asarray(cv2.transform(image, tone), np.uint8)
