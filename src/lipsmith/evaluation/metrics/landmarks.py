"""Metrics of lip and jaw motion: position, correlation and amplitude of the opening, and jitter.

Content is `(F, 57, 2)` in crop units: jaw, outer lip, inner lip. It comes from the landmark generator or from lips
re-detected in generated pictures.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.detector import FaceMesh, mesh_square
from lipsmith.face.landmarks import INNER_LIP, NUM_JAW, OUTER_LIP, Floats, lip_opening

CROP_SIDE: Final = 128
"""Pixels of the crop to which LipLMD and the jitter of pictures refer."""
STILL: Final = 2e-3
"""Standard deviation of an opening, crop units, that tracker noise alone can cause."""


def l1_percent(prediction: Floats, truth: Floats) -> float:
    """Mean absolute error of all coordinates, in percent of the crop's side."""
    return 100 * float(np.abs(prediction - truth).mean())


def lip_lmd(prediction: Floats, truth: Floats) -> NDArray[np.float64]:
    """LipLMD of each frame `(F,)`: mean distance of the lip points, in pixels at 128; lower is better.

    `prediction`, `truth`: `(F, 40, 2)` in pixels of a crop of 128. Paper, section 4.1.
    """
    return np.asarray(np.linalg.norm(prediction - truth, axis=-1).mean(-1), np.float64)


def inner_opening(content: Floats) -> NDArray[np.float64]:
    """Distance `(F,)` between the middles of the inner lips, crop units."""
    return np.asarray(lip_opening(content.astype(np.float64)), np.float64)


def opening_r(prediction: Floats, truth: Floats) -> float:
    """Pearson correlation of predicted and true opening; 0 for a mouth that never moves."""
    return correlation(inner_opening(prediction), inner_opening(truth))


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson correlation of two curves `(F,)`; 0 if one is constant."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 1e-9 else 0.0


def amplitude(prediction: Floats, truth: Floats) -> float:
    """Standard deviation of the predicted opening divided by that of the true one; NaN if the true mouth is still.

    A mouth is still if its opening varies by less than tracker noise; otherwise one listener in a data set would
    outweigh all speakers.
    """
    swing = _swing(truth)
    return _swing(prediction) / swing if swing > STILL else float("nan")


def _swing(content: Floats) -> float:
    """Standard deviation of the opening."""
    opening = inner_opening(content)
    return float((opening - opening[0]).std())  # the mean of a constant is rounded, that of zeros is not


def jitter(points: Floats) -> float:
    """Mean length of the points' second difference over time, in their unit per frame squared; NaN under three frames.

    `points`: `(F, P, 2)` of successive frames. Lower is smoother; real speech is not zero, so compare with the real
    film.
    """
    if len(points) < 3:
        return float("nan")
    bend = points[2:] - 2 * points[1:-1] + points[:-2]
    return float(np.linalg.norm(bend, axis=-1).mean())


def jitter_ratio(prediction: Floats, truth: Floats) -> float:
    """Predicted jitter divided by true jitter; NaN for fewer than three frames or if the true jitter is zero."""
    true = jitter(truth)
    return jitter(prediction) / true if true > 1e-9 else float("nan")


def redetect(detector: FaceMesh, crops: NDArray[np.uint8], where: Floats) -> NDArray[np.float32]:
    """Lips `(F, 40, 2)` detected in crops `(F, S, S, 3)`, in pixels of a crop of 128.

    `where`: `(F, 478, 2)` crop units, the mesh of the real film, which defines the detector's input region for both the
    real and the generated picture, so that a bias of the detector affects both.
    """
    size = crops.shape[1]
    meshes = [
        detector(crop, mesh_square((mesh * size).astype(np.float32)))[0]
        for crop, mesh in zip(crops, where, strict=True)
    ]
    return np.stack(meshes)[:, list(OUTER_LIP + INNER_LIP)] * np.float32(CROP_SIDE / size)


def landmark_figures(prediction: Floats, truth: Floats) -> dict[str, float]:
    """Figures of content, by the names in the output of commands."""
    lips, true_lips = (CROP_SIDE * points[:, NUM_JAW:] for points in (prediction, truth))
    return {
        "l1_percent": l1_percent(prediction, truth),
        "lip_lmd": float(lip_lmd(lips, true_lips).mean()),
        "opening_r": opening_r(prediction, truth),
        "amplitude": amplitude(prediction, truth),
        "jitter_ratio": jitter_ratio(prediction, truth),
    }
