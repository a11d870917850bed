"""How far the picture follows its landmarks: opening and width of the mouth, detected against requested."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.evaluation.metrics.landmarks import CROP_SIDE, STILL
from lipsmith.face.landmarks import INNER_LIP, OUTER_LIP, TOUCHING

OBEDIENCE: Final = "obedience."
"""Beginning of the names of the figures."""
_LIPS: Final = OUTER_LIP + INNER_LIP
_OPENING, _WIDTH = (13, 14), (61, 291)


def obedience(found: NDArray[np.floating[Any]], asked: NDArray[np.floating[Any]]) -> dict[str, float]:
    """How closely the generated mouth of one clip follows the requested landmarks.

    Args:
        found: `(F, 40, 2)` lips re-detected in the generated pictures, pixels at 128, from `redetect`.
        asked: `(F, 131, 2)` requested landmarks, crop units.

    Returns:
        `obedience.slope` and `obedience.rest`, the least-squares line `found = slope * asked + rest` of the inner
        lips' opening (pixels at 128; 1 and 0 are ideal). `obedience.shut`, the share of frames asked to open less than
        1 px that are found to, and `obedience.asked_shut`, how many were asked. `obedience.width_slope`, the same for
        the distance of the mouth's corners, and `obedience.width_rest`, by how many pixels the mouth is found wider
        than asked on average. What was never asked for (lips that do not move, or never close) is NaN.
    """
    lips = CROP_SIDE * asked[:, -len(_LIPS) :].astype(np.float64)
    opening, asked_opening = (_distance(points, _OPENING) for points in (found, lips))
    width, asked_width = (_distance(points, _WIDTH) for points in (found, lips))
    slope, rest = _line(asked_opening, opening)
    closing = asked_opening < CROP_SIDE * TOUCHING
    return {
        "obedience.slope": slope,
        "obedience.rest": rest,
        "obedience.shut": float((opening[closing] < CROP_SIDE * TOUCHING).mean()) if closing.any() else float("nan"),
        "obedience.asked_shut": float(closing.sum()),
        "obedience.width_slope": _line(asked_width, width)[0],
        "obedience.width_rest": float((width - asked_width).mean()),
    }


def _distance(lips: NDArray[np.floating[Any]], pair: tuple[int, int]) -> NDArray[np.float64]:
    first, second = (_LIPS.index(point) for point in pair)
    distance: NDArray[np.float64] = np.linalg.norm((lips[:, first] - lips[:, second]).astype(np.float64), axis=-1)
    return distance


def _line(asked: NDArray[np.float64], found: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of `found` over `asked`; NaN if `asked` varies by no more than tracker noise."""
    if asked.std() <= STILL * CROP_SIDE:
        return float("nan"), float("nan")
    slope = float(np.cov(asked, found, bias=True)[0, 1] / asked.var())
    return slope, float(found.mean() - slope * asked.mean())
