"""Predicts lips and jaw at a pose from the references, without speech."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipsmith.face.landmarks import CONTOUR, LEFT_BROW, NOSE, NUM_JAW, NUM_LIPS, NUM_POSE, RIGHT_BROW

NUM_STEADY = len(CONTOUR + RIGHT_BROW + LEFT_BROW + NOSE)
"""The first pose points, which exclude the blinking eyes."""

# Measured without any network on the strict halves of 57 clips of 30 people: 1.02 % L1 (with a nearness of 3e-5), where
# the references' plain mean gives 1.22 %, the one nearest in pose 1.15 %; twice or half of it changes the third digit.
_TRUST = 0.75

_BROWS, _NOSE = len(CONTOUR), len(CONTOUR + RIGHT_BROW + LEFT_BROW)
_GROUPS = (slice(0, _BROWS), slice(_BROWS, _NOSE), slice(_NOSE, NUM_STEADY))
"""Contour, brows and nose among the first pose points."""
# Least squares over 190 training clips, rounded: how lips, chin and the ends of the jaw move with the means of contour,
# brows and nose, over and above what opening and width of the mouth move them.
_LIPS, _CHIN, _EAR = (0.4, -0.65, 1.3), (0.8, -1.0, 1.2), (1.2, -0.55, 0.4)
QUICK = 1.0
"""Frames: what is faster is the tracker's noise."""


def steadied(pose: Tensor, frames: float) -> Tensor:
    """Pose `(b, T, 74, 2)` averaged over time by a Gaussian of standard deviation `frames`.

    Nose, cheeks and ears of the mesh move with the jaw, at the rate of syllables. Without averaging they reveal the
    original words: scores on the clip's own speech are high, but the old words leak into a dub with new speech. Heads
    move more slowly.
    """
    index = torch.arange(pose.shape[1], device=pose.device, dtype=torch.float32)
    weights = torch.softmax(-((index[:, None] - index) ** 2) / (2 * frames**2), dim=-1)
    return torch.einsum("ts,bspc->btpc", weights.to(pose.dtype), pose)


def followed(pose: Tensor, frames: float) -> Tensor:
    """How content `(b, T, 57, 2)` moves with the head, as far as `steadied` pose is too slow to tell; crop units.

    Fixed shares of the motion of contour, brows and nose, which say how the head nods and turns. All lip points move
    alike, so that nothing of what the original mouth said can pass. pose: `(b, T, 74, 2)`.
    """
    quick = steadied(pose, QUICK) - steadied(pose, frames)
    motion = torch.stack([quick[:, :, group].mean(2) for group in _GROUPS], dim=2)
    return torch.einsum("p g, b t g c -> b t p c", _shares().to(pose), motion)


def _shares() -> Tensor:
    """`(57, 3)` of each content point: the jaw's go from ear over chin to ear."""
    ear, chin, lips = (torch.tensor(each) for each in (_EAR, _CHIN, _LIPS))
    reach = torch.linspace(0, math.pi, NUM_JAW).sin()[:, None]
    return torch.cat([torch.lerp(ear, chin, reach), lips.expand(NUM_LIPS, 3)])


def expected_content(pose: Tensor, references: Tensor, nearness: float) -> Tensor:
    """Content `(b, T, 57, 2)` predicted from the references without speech, crop units.

    The mean of the references' content, each moved as the head has moved since, those nearest in pose weighing
    most: by a Gaussian of the variance `nearness`. pose: `(b, T, 74, 2)`, references: `(b, N, 131, 2)`.

    With a small nearness, the pose selects among references with their mouths, so that noise in the pose moves the
    mouth. A large one only excludes references with a very different head pose.

    "As the head moved" is a share of the least-squares similarity of the steady pose points. Of centered points x -> y
    that is a complex factor sum(conj(x) y) / sum(|x|^2) (Umeyama in 2-D). All products are of small deviations from the
    references' mean, so that half precision is sufficient.
    """
    shapes, content = references[:, :, :NUM_STEADY], references[:, :, NUM_POSE:]
    mean, mean_content = shapes.mean(1, keepdim=True), content.mean(1, keepdim=True)
    dy, dx = pose[:, :, :NUM_STEADY] - mean, shapes - mean
    x = shapes - shapes.mean(2, keepdim=True)
    power = x.square().sum((2, 3)).clamp_min(1e-8)[:, None]
    growth = (_dot(dy, x) - (dx * x).sum((2, 3))[:, None]) / power
    turn = (_dot(dy, _quarter_turn(x)) - (dx * _quarter_turn(x)).sum((2, 3))[:, None]) / power
    apart = dy.square().sum((2, 3))[:, :, None] + dx.square().sum((2, 3))[:, None] - 2 * _dot(dy, dx)
    weights = torch.softmax(-apart / (2 * NUM_STEADY * nearness), dim=2)
    arm = content - shapes.mean(2, keepdim=True)
    shift = dy.mean(2, keepdim=True) - _mix(weights, dx.mean(2, keepdim=True))
    moved = _mix(weights * growth, arm) + _mix(weights * turn, _quarter_turn(arm)) + shift
    return mean_content + _mix(weights, content - mean_content) + _TRUST * moved


def _dot(frames: Tensor, shapes: Tensor) -> Tensor:
    """`(b, T, N)` inner products of `(b, T, p, 2)` with `(b, N, p, 2)`."""
    return torch.einsum("b t p c, b n p c -> b t n", frames, shapes)


def _mix(weights: Tensor, shapes: Tensor) -> Tensor:
    """`(b, T, p, 2)`: shapes `(b, N, p, 2)` summed with weights `(b, T, N)`."""
    return torch.einsum("b t n, b n p c -> b t p c", weights, shapes)


def _quarter_turn(points: Tensor) -> Tensor:
    return torch.stack((-points[..., 1], points[..., 0]), dim=-1)
