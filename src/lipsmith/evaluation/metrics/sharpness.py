"""How much fine detail the lower half of a crop has."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def sharpness(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean absolute Laplacian of the lower half of each crop `(F,)`, grey levels of crops `(F, S, S, 3)`.

    Told as a ratio to the real film's: 1 is as sharp, below is softer. The only figure of detail where, cross-driven,
    there is no truth to compare with.
    """
    half = crops.shape[1] // 2
    greys = (cv2.cvtColor(crop[half:], cv2.COLOR_RGB2GRAY) for crop in crops)
    return np.array([np.abs(cv2.Laplacian(grey, cv2.CV_64F)).mean() for grey in greys], np.float64)
