"""The regions of a crop that matter in a dub: the replaced face, and the mouth in it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import JAW, OUTER_LIP, ranks

FACE, MOUTH = "face", "mouth"
_PARTS: Final = {FACE: (ranks(JAW + OUTER_LIP), 0.0), MOUTH: (ranks(OUTER_LIP), 0.3)}
"""Points whose bounding box defines a region, and the margin as a share of the box. The jaw alone begins below the
upper lip of a face that is turned up."""
_LEAST: Final = 32
"""Minimum side, pixels, of a picture for the networks."""

Crops = NDArray[np.uint8]


def windows(points: NDArray[np.float32], part: str, size: int) -> list[tuple[slice, slice]]:
    """Rows and columns of a region (`face` or `mouth`) in each of T crops of side `size`, with the same size in all.

    `points`: `(T, 131, 2)` crop units. The largest box of all frames follows the region's center, inside the lower
    half, the only part that is rendered.
    """
    chosen, margin = _PARTS[part]
    low, high = points[:, chosen].min(1) * size, points[:, chosen].max(1) * size
    extent = np.ceil((high - low).max(0) * (1 + margin)).astype(int)
    width, height = np.minimum(np.maximum(extent, _LEAST), (size, size // 2))
    x = np.clip((low + high)[:, 0] / 2 - width / 2, 0, size - width).round().astype(int)
    y = np.clip((low + high)[:, 1] / 2 - height / 2, size // 2, size - height).round().astype(int)
    return [(slice(top, top + height), slice(left, left + width)) for left, top in zip(x, y, strict=True)]


def cut(crops: Crops, places: list[tuple[slice, slice]]) -> Crops:
    """The regions `(T, h, w, 3)` of crops `(T, S, S, 3)` at `places`."""
    return np.stack([crop[place] for crop, place in zip(crops, places, strict=True)])


def flicker(crops: Crops) -> float:
    """Mean difference of a frame from the mean of its two neighbors, gray levels, of T crops `(T, h, w, 3)`.

    Reported as a ratio to the real film. 0 for fewer than three frames.
    """
    if len(crops) < 3:
        return 0.0
    frames = crops.astype(np.float32)
    return float(np.abs(frames[1:-1] - (frames[:-2] + frames[2:]) / 2).mean())
