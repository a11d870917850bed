"""Fits `Placement`: what the pose says of the place of lips and jaw, and nothing of what the mouth says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from lipsmith.evaluation.landmarks import Trial
from lipsmith.evaluation.metrics.landmarks import STILL, inner_opening
from lipsmith.face.landmarks import NUM_JAW, OUTER_LIP
from lipsmith.inference.speak import grid, predict_content, resample
from lipsmith.models.landmarks.generator import LandmarkGenerator, LandmarkTransformer
from lipsmith.models.landmarks.placement import NUM_FEATURES, NUM_PLACED, pose_features
from lipsmith.training.landmarks.stages import as_backend

_RIDGE: Final = 1e-4
"""Penalty of the squared weights, of features scaled to order one."""
_CORNERS: Final = (NUM_JAW, NUM_JAW + len(OUTER_LIP) // 2)

Doubles = NDArray[np.float64]


@torch.no_grad()
def fit_placement(network: LandmarkGenerator, trials: Iterable[Trial], window: int) -> int:
    """Set the weights of the network's `Placement` by least squares over the counted frames of trials; the number used.

    Each trial weighs the same. On average over the trials, what the map adds does not correlate with the opening or the
    width of the filmed mouth: nose and cheeks move with the jaw, and a dub must not keep the old words. Only trials in
    which references and counted frames are separate are used; without any, the weights are zero.
    """
    transformer = network.transformer
    assert isinstance(transformer, LandmarkTransformer)
    assert transformer.placement is not None
    weight = transformer.placement.weight
    weight.zero_()
    sums, backend = _Sums(), as_backend(network)
    for trial in trials:
        if trial.strict and trial.counted.sum() > 2:
            content = predict_content(backend, trial.mel, trial.times, trial.pose, trial.references, window)
            sums.add(trial, _features(trial, transformer.steady), content)
    if sums.clips:
        weight.copy_(torch.from_numpy(sums.solution()))
    return sums.clips


def _features(trial: Trial, steady: float) -> Doubles:
    """`(F, 168)` at the trial's times."""
    ticks = grid(trial.times)
    pose = torch.from_numpy(resample(trial.pose, trial.times, ticks))[None]
    features = pose_features(pose, torch.from_numpy(trial.references)[None], steady)[0]
    return resample(features.numpy(), ticks, trial.times).astype(np.float64)


@dataclass
class _Sums:
    """What least squares need of the clips so far."""

    clips: int = 0
    power: Doubles = field(default_factory=lambda: np.zeros((NUM_FEATURES, NUM_FEATURES)))
    wanted: Doubles = field(default_factory=lambda: np.zeros((NUM_FEATURES, 2 * NUM_PLACED)))
    mean: Doubles = field(default_factory=lambda: np.zeros(NUM_FEATURES))
    mean_wanted: Doubles = field(default_factory=lambda: np.zeros(2 * NUM_PLACED))
    mouth: Doubles = field(default_factory=lambda: np.zeros((2, NUM_FEATURES)))
    """Covariance of the features with the true opening and width, each scaled to variance one."""

    def add(self, trial: Trial, features: Doubles, content: NDArray[np.float32]) -> None:
        x, truth = features[trial.counted], trial.truth[trial.counted]
        missing = _placed((truth - content[trial.counted]).astype(np.float64))
        self.power += x.T @ x / len(x)
        self.wanted += x.T @ missing / len(x)
        self.mean += x.mean(0)
        self.mean_wanted += missing.mean(0)
        opening = inner_opening(truth)
        if opening.std() > STILL:
            width = np.linalg.norm(truth[:, _CORNERS[0]] - truth[:, _CORNERS[1]], axis=-1).astype(np.float64)
            self.mouth += np.stack([_normal(curve) @ (x - x.mean(0)) / len(x) for curve in (opening, width)])
        self.clips += 1

    def solution(self) -> NDArray[np.float32]:
        """Weights `(36, 168)`."""
        mean, mean_wanted = self.mean / self.clips, self.mean_wanted / self.clips
        power = self.power / self.clips - np.outer(mean, mean)
        wanted = self.wanted / self.clips - np.outer(mean, mean_wanted)
        quick, slow = np.split(np.sqrt(np.diag(self.power) / self.clips), 2)
        scale = np.repeat([np.sqrt(np.mean(part**2)) for part in (quick, slow)], NUM_FEATURES // 2)
        power = power / np.outer(scale, scale) + _RIDGE * np.eye(NUM_FEATURES)
        free = _orthogonal_to(self.mouth / scale)
        solved = free @ np.linalg.solve(free.T @ power @ free, free.T @ (wanted / scale[:, None]))
        weights: NDArray[np.float32] = (solved / scale[:, None]).T.astype(np.float32)
        return weights


def _placed(missing: Doubles) -> Doubles:
    """`(n, 36)`: of content `(n, 57, 2)`, the jaw's points and the mean of the lips."""
    lips = missing[:, NUM_JAW:].mean(1, keepdims=True)
    points: Doubles = np.concatenate([missing[:, :NUM_JAW], lips], axis=1)
    return points.reshape(len(missing), -1)


def _normal(curve: Doubles) -> Doubles:
    """The curve with mean zero and variance one."""
    normal: Doubles = (curve - curve.mean()) / (curve.std() + 1e-9)
    return normal


def _orthogonal_to(rows: Doubles) -> NDArray[Any]:
    """An orthonormal basis `(n, n - r)` of what is orthogonal to rows `(k, n)` of rank r."""
    _, sizes, directions = np.linalg.svd(rows, full_matrices=True)
    rank = int((sizes > 1e-12 * max(sizes.max(), 1e-300)).sum())
    return directions[rank:].T
