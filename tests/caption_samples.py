"""Captions written over faces."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import JAW, ranks

Picture = NDArray[np.uint8]
WHITE, YELLOW, GREEN = (255, 255, 255), (255, 240, 0), (60, 255, 80)


def written(
    picture: Picture, points: NDArray[np.float32], text: str, color: tuple[int, ...], height: float, low: float = 0.0
) -> tuple[Picture, NDArray[np.bool_]]:
    """The picture with an outlined text across the chin, or `low` face heights below, and where the letters are.

    `height`: of the letters, as a share of the face's.
    """
    jaw = points[ranks(JAW)]
    tall = float(np.ptp(points[:, 1]))
    x, y = (jaw[:, 0].min() + jaw[:, 0].max()) / 2, jaw[:, 1].max() - 0.06 * tall + low * tall
    size = round(height * tall)
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1, 2)
    scale, thick = size / high, max(1, round(size / 7))
    letters, at = np.zeros(picture.shape[:2], np.uint8), (int(x - wide * scale / 2), int(y + size / 2))
    cv2.putText(letters, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick)
    image = picture.astype(np.float32)
    edge = 2 * max(1, round(size / 12)) + 1
    for shape, shade in ((cv2.dilate(letters, np.ones((edge, edge), np.uint8)), (0, 0, 0)), (letters, color)):
        share = cv2.GaussianBlur(shape.astype(np.float32) / 255, (0, 0), 0.6)[..., None]
        image += share * (np.asarray(shade, np.float32) - image)
    return np.round(image).astype(np.uint8), letters > 127


def boxed(picture: Picture, text: str, at: tuple[int, int]) -> tuple[Picture, NDArray[np.bool_]]:
    """The picture with dark words in a white box, and where the box is.

    `at`: column of their middle, row of their baseline.
    """
    wide, high = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 0.5, 1)[0]
    x, y = at[0] - wide // 2, at[1]
    box = np.zeros(picture.shape[:2], bool)
    box[y - high - 5 : y + 6, x - 5 : x + wide + 6] = True
    image = picture.copy()
    image[box] = 245
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_DUPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return image, box
