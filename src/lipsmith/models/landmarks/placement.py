"""Where the head puts lips and jaw, over and above what the transformer predicts: a linear map of the pose."""

from __future__ import annotations

from typing import Final

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.face.landmarks import NUM_JAW, NUM_LIPS
from lipsmith.models.landmarks.expected import NUM_STEADY, QUICK, steadied

NUM_PLACED: Final = NUM_JAW + 1
"""Points that are placed: each of the jaw, and all lip points as one."""
NUM_FEATURES: Final = 4 * NUM_STEADY
"""Numbers that place them: quick and slow motion, in x and y, of each pose point but the eyes', which blink."""


class Placement(nn.Module):
    """Moves lips and jaw `(b, T, 57, 2)` with the pose; crop units.

    The transformer sees a pose that is averaged over time and belongs to another moment in training, so it learns where
    the head puts the mouth only roughly. All lip points move alike, so no opening passes.
    `lipsmith.training.landmarks.fit_placement` fits the weights, which are zero before.
    """

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(2 * NUM_PLACED, NUM_FEATURES))

    def forward(self, pose: Tensor, references: Tensor, steady: float) -> Tensor:
        """How far jaw and lips move `(b, T, 57, 2)`; arguments as of `pose_features`."""
        moved = F.linear(pose_features(pose, references, steady), self.weight)
        placed = rearrange(moved, "b t (p c) -> b t p c", c=2)
        jaw, lips = placed[:, :, :NUM_JAW], placed[:, :, NUM_JAW:]
        return torch.cat([jaw, lips.expand(-1, -1, NUM_LIPS, -1)], dim=2)


def pose_features(pose: Tensor, references: Tensor, steady: float) -> Tensor:
    """What places lips and jaw `(b, T, 168)`: the pose's quick motion, and the slow pose from the references' mean.

    pose: `(b, T, 74, 2)` and references: `(b, N, 131, 2)`, crop units. `steady`: frames that separate quick from slow.
    """
    pose, shapes = pose[:, :, :NUM_STEADY], references[:, :, :NUM_STEADY]
    slow = steadied(pose, steady)
    quick = steadied(pose, QUICK) - slow
    mean = reduce(shapes, "b n p c -> b 1 p c", "mean")
    return rearrange([quick, slow - mean], "s b t p c -> b t (s p c)")
