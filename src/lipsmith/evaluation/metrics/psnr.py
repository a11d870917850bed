"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def psnr(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Decibels of each picture `(B,)`, higher is better, infinite for equal pictures.

    `generated`, `real`: `(B, H, W, 3)` RGB, 0..255. 10 log10(255^2 / mean squared error over pixels and channels).
    """
    error = np.square(generated.astype(np.float64) - real).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255.0**2 / error), np.float64)
