"""How well lips and jaw move: where they are, whether they open with the speech, how far, and how steadily.

Content is `(F, 57, 2)` in crop units: jaw, outer lip, inner lip.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import CONTENT, NUM_JAW, Floats

CROP_SIDE: Final = 128
"""Pixels of the crop in which LipLMD is told."""
STILL: Final = 2e-3
"""Standard deviation of an opening, crop units, that the tracker's noise alone may give."""


def l1_percent(prediction: Floats, truth: Floats) -> float:
    """Mean absolute error of all coordinates, in per cent of the crop's side."""
    return 100 * float(np.abs(prediction - truth).mean())


def lip_lmd(prediction: Floats, truth: Floats) -> float:
    """LipLMD: mean distance of the 40 lip points, in pixels of a crop of 128."""
    lips = (prediction - truth)[:, NUM_JAW:]
    return CROP_SIDE * float(np.linalg.norm(lips, axis=-1).mean())


def inner_opening(content: Floats) -> NDArray[np.float64]:
    """Distance `(F,)` between the inner lips' middles, crop units."""
    upper, lower = CONTENT.index(13), CONTENT.index(14)
    opening: NDArray[np.float64] = np.linalg.norm(
        (content[..., upper, :] - content[..., lower, :]).astype(np.float64), axis=-1
    )
    return opening


def opening_r(prediction: Floats, truth: Floats) -> float:
    """Pearson correlation of predicted and true opening; 0 for a mouth that never moves."""
    return correlation(inner_opening(prediction), inner_opening(truth))


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson correlation of two curves `(F,)`; 0 where one is flat."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 1e-9 else 0.0


def amplitude(prediction: Floats, truth: Floats) -> float:
    """Standard deviation of the predicted opening over that of the true one; NaN where the true mouth is still.

    Still is what swings by less than the tracker's noise: one listener in a data set would outweigh all speakers.
    """
    swing = float(inner_opening(truth).std())
    return float(inner_opening(prediction).std()) / swing if swing > STILL else float("nan")


def jitter(prediction: Floats, truth: Floats) -> float:
    """Mean length of the second difference over time, predicted over true; NaN under three frames."""
    if len(truth) < 3:
        return float("nan")
    shake, true_shake = (float(np.linalg.norm(np.diff(x, 2, axis=0), axis=-1).mean()) for x in (prediction, truth))
    return shake / true_shake if true_shake > 1e-9 else float("nan")


def landmark_figures(prediction: Floats, truth: Floats) -> dict[str, float]:
    """All of the above by the names that commands print."""
    return {
        "l1_percent": l1_percent(prediction, truth),
        "lip_lmd": lip_lmd(prediction, truth),
        "opening_r": opening_r(prediction, truth),
        "amplitude": amplitude(prediction, truth),
        "jitter": jitter(prediction, truth),
    }
