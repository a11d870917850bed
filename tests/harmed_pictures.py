"""Drawn pictures, and degradations with a known direction."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Crops = NDArray[np.uint8]


def textured(count: int = 2, size: int = 64, seed: int = 0) -> Crops:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC) for image in coarse])


def blurred(images: Crops, sigma: float) -> Crops:
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def shifted(images: Crops, pixels: int) -> Crops:
    return np.roll(images, pixels, axis=2)


def noisy(images: Crops, sigma: float) -> Crops:
    noise = np.random.default_rng(1).normal(0, sigma, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)
