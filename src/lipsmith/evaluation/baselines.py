"""Training-free baselines, which any model must beat.

All keep the upper half of the source's crop and use the target's true (or predicted) landmarks.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.evaluation.systems import COPY, MEAN, WARP, ReconstructionTask
from lipsmith.face.landmarks import Floats, distances

NEAREST: Final = 3
"""Number of references that `Warp` averages."""
SPREAD: Final = 0.05
"""Reach of one landmark's displacement, in crop units."""
GRID: Final = 32
"""Cells along a side of the coarse flow."""


class Copy:
    """The lower half of the allowed frame nearest in pose and lip shape."""

    name = COPY

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """Crops `(T, S, S, 3)`."""
        nearest = _nearest(task, 1)[:, 0]
        return under(task.upper, task.images[nearest])


class Mean:
    """The mean of the pool of references."""

    name = MEAN

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """Crops `(T, S, S, 3)`."""
        frames = []
        for target, upper in zip(task.targets, task.upper, strict=True):
            others = task.pool[task.pool != target]
            frames.append(under(upper, np.rint(task.images[others].mean(0)).astype(np.uint8)))
        return np.stack(frames)


class Warp:
    """The mean of the three nearest allowed frames, each warped by landmarks alone."""

    name = WARP

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """Crops `(T, S, S, 3)`."""
        frames = []
        for nearest, points, upper in zip(_nearest(task, NEAREST), task.points, task.upper, strict=True):
            warped = [warp(task.images[i], landmark_flow(points, task.landmarks[i])) for i in nearest]
            frames.append(under(upper, np.rint(np.mean(warped, axis=0)).astype(np.uint8)))
        return np.stack(frames)


def under(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crops with the upper half of `upper` and the lower half of `lower`, both `(..., S, S, 3)`."""
    result = upper.copy()
    half = result.shape[-3] // 2
    result[..., half:, :, :] = lower[..., half:, :, :]
    return result


def landmark_flow(target: Floats, reference: Floats) -> NDArray[np.float32]:
    """Displacement from each cell of the target to its position in the reference, `(32, 32, 2)` crop units.

    At a cell g: sum_i softmax_i(-|g - L_i|^2 / s^2) (R_i - L_i) over the points L of the target and R of the reference,
    both `(131, 2)`, s = `SPREAD`.
    """
    axis = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    cells = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 1, 2)
    closeness = -((cells - target.astype(np.float32)) ** 2).sum(-1) / SPREAD**2
    weights = np.exp(closeness - closeness.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    flow: NDArray[np.float32] = (weights @ (reference - target).astype(np.float32)).reshape(GRID, GRID, 2)
    return flow


def warp(image: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """`image` `(S, S, 3)` sampled at each pixel plus the upscaled `flow` (crop units), `(S, S, 3)` in 0..255."""
    size = image.shape[0]
    fine = cv2.resize(flow, (size, size), interpolation=cv2.INTER_LINEAR) * size
    place = np.arange(size, dtype=np.float32)
    columns, rows = np.meshgrid(place, place)
    source = image.astype(np.float32)
    return np.asarray(
        cv2.remap(
            source,
            columns + fine[..., 0],
            rows + fine[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def _nearest(task: ReconstructionTask, count: int) -> NDArray[np.intp]:
    """For each target the `count` nearest allowed frames, excluding itself, `(T, count)`."""
    cost = distances(task.points, task.landmarks[task.allowed])
    cost[task.targets[:, None] == task.allowed] = np.inf
    return task.allowed[np.argsort(cost, axis=1, kind="stable")[:, :count]]
