"""Draws the line between shut lips as dark as it is in the references.

Detail of the upper and of the lower lip meets there. Where the lips of a reference are a little apart, what is between
them is left out, and with it the line; the mean of several references is soft.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import apply, invert
from lipsmith.face.landmarks import INNER_LIP, LOWER_INNER, TOUCHING, UPPER_INNER, Floats, ranks

_APART: Final = 2 * TOUCHING
"""Distance of the lips, crop units, from which there is no line; up to `TOUCHING` there is all of it."""
_LOOKED_AT: Final = 8
"""References with shut lips that are looked at, at most."""
_DARKEST: Final = 75.0
"""Percentile of their depths, because some are blurred."""
_DEVIATION: Final = 0.4 / 128
"""Half of the line's width, as a share of the crop's side."""
_COLUMNS: Final = np.linspace(0.12, 0.88, 25, dtype=np.float32)
"""Where the line is looked at, from corner to corner."""
_ENDS: Final = np.clip(np.minimum(np.arange(1, 26), np.arange(25, 0, -1)) / 4, 0, 1).astype(np.float32)
"""It ends gradually."""
_REACH: Final = 0.2
"""How far above and below lips are looked at, in widths of the mouth."""
_ROWS: Final = 41
_STRAY: Final = 6
"""Rows by which the line may lie off the middle of the points."""
_BESIDE: Final = 9
"""Rows above and below the line in which the lips are."""
_SMOOTH: Final = 2.0
_LEVEL: Final = 0.3
"""Levels by which a row that is one farther from the middle must be darker."""
_MOST: Final = 60.0
"""Levels by which the line becomes darker, at most."""
_DARK: Final = 40.0
"""Darker lips are darkened by the share of lips this dark."""
_FRACTION_BITS: Final = 4
_UPPER, _LOWER = ranks(UPPER_INNER), ranks(LOWER_INNER)
_CORNERS: Final = ranks((INNER_LIP[0], INNER_LIP[10]))


@dataclass(frozen=True)
class LipLine:
    """The line between the lips of a frame."""

    points: Floats
    """(131, 2), crop units, as rendered."""
    depth: float
    """Levels of red, in which lips are about as bright as skin, by which it is darker than they are."""


def line_depth(native: Callable[[int], NDArray[np.uint8]], pool: Floats) -> float | None:
    """Levels of red by which the line between a person's shut lips is darker than the lips; None if no reference shows
    it.

    `native`: the native crop of a reference, its last rows; `pool`: `(R, 131, 2)`, the points of all references.
    """
    shut = [rank for rank, points in enumerate(pool) if lips_apart(points) < TOUCHING]
    some = shut[:: -(-len(shut) // _LOOKED_AT) or 1]
    depths = [_depth(native(rank), pool[rank]) for rank in some]
    return float(np.percentile(depths, _DARKEST)) if depths else None


def lip_line(points: Floats, depth: float | None) -> LipLine | None:
    """The line between the lips of a frame with `points` `(131, 2)`, crop units; None if they are apart, or the `depth`
    is not known."""
    return None if depth is None or lips_apart(points) >= _APART else LipLine(points, depth)


def lips_apart(points: Floats) -> float:
    """Median distance of the inner lips of a face `(131, 2)`, in its units."""
    return float(np.median(np.linalg.norm(points[_UPPER] - points[_LOWER], axis=1)))


def with_line(
    image: NDArray[np.float32], line: LipLine | None, contrast: float, to_crop: NDArray[np.float64], side: int
) -> NDArray[np.float32]:
    """A region of the film `(h, w, 3)` in 0..255 with the line, if there is one, as dark as it should be.

    `contrast`: share of the references' contrast that the frame has; `to_crop`: `(2, 3)`, from the region's pixels to
    those of the crop of that `side`.
    """
    if line is None:
        return image
    depths, path = _seen(image, apply(invert(to_crop), _middle(line.points) * side - 0.5))
    share = np.clip((_APART - lips_apart(line.points)) / (_APART - TOUCHING), 0, 1)
    missing = np.clip(contrast * line.depth - depths, 0, _MOST) * _ENDS * share
    deviation = _DEVIATION * side / float(np.hypot(*to_crop[:, 0]))
    return image if missing.max() < 1 else _darkened(image, path, missing, deviation)


def _darkened(image: NDArray[np.float32], path: Floats, levels: Floats, deviation: float) -> NDArray[np.float32]:
    """The image, darker by `levels` `(25,)` along a `path` `(25, 2)`, pixels, with that deviation across it."""
    limit, margin = image.shape[1::-1], 4 * deviation + 2
    left, top = np.clip(path.min(0) - margin, 0, limit).astype(int).tolist()
    right, bottom = np.clip(path.max(0) + margin, 0, limit).astype(int).tolist()
    if left >= right or top >= bottom:
        return image
    drawn = np.zeros((bottom - top, right - left), np.float32)
    vertices = np.round((path - (left, top)) * (1 << _FRACTION_BITS)).astype(int).tolist()
    for begin, end, level in zip(vertices, vertices[1:], (levels[1:] + levels[:-1]) / 2, strict=False):
        cv2.line(drawn, begin, end, float(level), 1, cv2.LINE_AA, _FRACTION_BITS)
    drawn = cv2.GaussianBlur(drawn, (0, 0), deviation) * max(1.0, deviation * np.sqrt(2 * np.pi))
    result = image.copy()
    part = result[top:bottom, left:right]
    part *= 1 - np.clip(drawn / np.maximum(part[..., 0], _DARK), 0, 0.9)[..., None]
    return result


def _depth(crop: NDArray[np.uint8], points: Floats) -> float:
    """Depth of the line in the last rows `(rows, N, 4)` of the crop of a face with `points` `(131, 2)`."""
    rows, side = crop.shape[:2]
    return float(np.median(_seen(crop, _middle(points) * side - (0.5, 0.5 + side - rows))[0]))


def _middle(points: Floats) -> NDArray[np.float64]:
    """The middle line of the inner lips `(11, 2)`, from corner to corner."""
    ends = points[_CORNERS]
    return np.concatenate([ends[:1], (points[_UPPER] + points[_LOWER]) / 2, ends[1:]]).astype(np.float64)


def _seen(image: NDArray[np.uint8] | NDArray[np.float32], middle: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """How deep the line near `middle` `(11, 2)`, pixels, is at each of the columns, `(25,)`, and its pixels
    `(25, 2)`."""
    along = middle[-1] - middle[0]
    across = np.array([-along[1], along[0]])
    known = np.linspace(0, 1, len(middle))
    centers = np.stack([np.interp(_COLUMNS, known, middle[:, axis]) for axis in (0, 1)], 1)
    offsets = np.linspace(-_REACH, _REACH, _ROWS)
    places = (centers[:, None] + offsets[None, :, None] * across).astype(np.float32)
    rows = cv2.remap(
        cv2.extractChannel(image, 0), places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    rows = rows.astype(np.float32)
    near = slice(_ROWS // 2 - _STRAY, _ROWS // 2 + _STRAY + 1)
    darkest = near.start + (rows[:, near] + _LEVEL * np.abs(np.arange(-_STRAY, _STRAY + 1))).argmin(1)
    beside = np.arange(1, _BESIDE + 1)
    columns = np.arange(len(rows))[:, None]
    lips = np.minimum(rows[columns, darkest[:, None] - beside].max(1), rows[columns, darkest[:, None] + beside].max(1))
    depths = _smooth(lips - rows[columns[:, 0], darkest])
    return depths, centers + _smooth(offsets[darkest])[:, None] * across


def _smooth(values: Floats) -> NDArray[np.float32]:
    """Values `(25,)` without what changes from column to column."""
    row = values.astype(np.float32)[None]
    return np.asarray(cv2.GaussianBlur(row, (0, 0), _SMOOTH, borderType=cv2.BORDER_REPLICATE)[0], np.float32)
