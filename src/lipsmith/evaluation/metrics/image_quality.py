"""Pixelwise similarity to the real pictures (PSNR, SSIM), and sharpness."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 11
SIGMA: Final = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each picture `(B,)` in decibels, higher is better.

    `generated`, `real`: `(B, H, W, 3)` RGB, 0..255. 10 log10(255^2 / mean squared error over pixels and channels).
    Identical pictures would be infinite, and with them the mean of a film, so the value is capped at that of pictures
    that differ by 1 in one channel of one pixel, 95.05 dB at 128 x 128.
    """
    error = np.square(generated.astype(np.float64) - real).mean((1, 2, 3))
    return np.asarray(10 * np.log10(255.0**2 / np.maximum(error, 1 / real[0].size)), np.float64)


def ssim(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity of each picture `(B,)` in [-1, 1], higher is better, 1 for equal pictures.

    `generated`, `real`: `(B, H, W, 3)` RGB, 0..255. Wang et al., "Image quality assessment: from error visibility to
    structural similarity" (2004), equation 13, on [0, 1]: Gaussian window of 11 pixels and sigma 1.5, the mean over
    channels and over a window at every pixel.
    """
    return np.array([_ssim(a, b) for a, b in zip(generated, real, strict=True)], np.float64)


def _ssim(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    a, b = generated / 255.0, real / 255.0
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a, variance_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    likeness /= (mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2)
    return float(likeness.mean())


def _blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Windowed means; the picture is mirrored at its border."""
    blurred = cv2.GaussianBlur(image, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float64)


def sharpness(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean absolute Laplacian `(F,)`, gray levels, of pictures `(F, H, W, 3)`, such as the lower halves of crops.

    Reported as a ratio to the real film: 1 is as sharp, lower is softer. It is the only measure of detail for
    cross-driven films, which have no ground truth.
    """
    grays = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures)
    return np.array([np.abs(cv2.Laplacian(gray, cv2.CV_64F)).mean() for gray in grays], np.float64)
