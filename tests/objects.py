"""Things that are held before a face."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats, ranks

_CORNERS = ranks((61, 291))
Point = tuple[float, float]


def with_hand(image: NDArray[np.uint8], points: Floats, at: Point) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a picture `(H, W, 3)` with a hand from below, and where the hand is, `(H, W)`.

    `points`: `(131, 2)`, the face in pixels; `at`: right and below of the mouth's middle, in widths of the mouth, where
    the fingers begin.
    """
    left, right = points[_CORNERS]
    unit, knuckles = float(np.hypot(*(right - left))), (left + right) / 2
    knuckles = knuckles + unit * np.array(at)
    height = np.zeros(image.shape[:2], np.float32)
    for rank in (-1.5, -0.5, 0.5, 1.5):
        base = knuckles + unit * np.array([0.36 * rank, 0.1 * abs(rank)])
        _stroke(height, base, base + unit * np.array([0.1 * rank, -1.3]), 0.17 * unit)
    _stroke(height, knuckles + unit * np.array([0, 0.5]), knuckles + unit * np.array([0, 8.0]), 0.72 * unit)
    return _covered(image, height, skin_of(image, points))


def with_microphone(image: NDArray[np.uint8], points: Floats, at: Point) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Like `with_hand`, with a dark microphone, whose head is at `at`."""
    left, right = points[_CORNERS]
    unit = float(np.hypot(*(right - left)))
    head = (left + right) / 2 + unit * np.array(at)
    height = np.zeros(image.shape[:2], np.float32)
    _stroke(height, head, head, 0.5 * unit)
    _stroke(height, head, head + unit * np.array([0.6, 8.0]), 0.25 * unit)
    return _covered(image, height, np.array([60.0, 62.0, 66.0]))


def with_finger(image: NDArray[np.uint8], points: Floats, at: Point) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Like `with_hand`, with one finger, whose tip is at `at`."""
    left, right = points[_CORNERS]
    unit = float(np.hypot(*(right - left)))
    tip = (left + right) / 2 + unit * np.array(at)
    height = np.zeros(image.shape[:2], np.float32)
    _stroke(height, tip, tip + unit * np.array([0.1, 8.0]), 0.2 * unit)
    return _covered(image, height, skin_of(image, points))


def skin_of(image: NDArray[np.uint8], points: Floats) -> NDArray[np.float64]:
    """Return the mean color of a patch beside the mouth."""
    x, y = points[ranks((61, 48, 234))].mean(0).astype(int)
    patch: NDArray[np.float64] = image[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(0)
    return patch


def _stroke(height: NDArray[np.float32], begin: Floats, end: Floats, radius: float) -> None:
    """Add a round bar to a map of heights, from 0 at its edge to 1 at its middle."""
    line = np.full(height.shape, 255, np.uint8)
    cv2.line(line, tuple(begin.astype(int).tolist()), tuple(end.astype(int).tolist()), 0, 1)
    distance = cv2.distanceTransform(line, cv2.DIST_L2, 5)
    np.maximum(height, np.sqrt(np.maximum(0, 1 - (distance / radius) ** 2)), out=height)


def _covered(
    image: NDArray[np.uint8], height: NDArray[np.float32], color: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    lit = color * (0.65 + 0.4 * height[..., None])
    soft = cv2.GaussianBlur((height > 0).astype(np.float32), (0, 0), 0.8)[..., None]
    mixed = image + soft * (lit - image)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8), height > 0.2
