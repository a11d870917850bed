"""Finds the lips in a face crop, differentiably: the loss of the renderer that asks whether lips are where they should.

It imitates the face mesh, on whose points it is trained (`lipsmith.training.lips`); it is used in training only, and
`lipsmith evaluate` judges by the mesh itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.config import require_range
from lipsmith.face.landmarks import NUM_LIPS
from lipsmith.models.blocks import NormResidual, Unshuffle, conv_norm

SPAN: Final = (0.5, 0.375)
"""Width and height of the window, crop units: a wide open mouth and what is around it."""


@dataclass(frozen=True)
class LipDetectorConfig:
    """The architecture; stored in the model folder."""

    width: int = 64
    """Columns of a window; its rows are three quarters of them."""
    widths: tuple[int, ...] = (32, 64, 96)
    """Channels at a half, a quarter and so on of the resolution."""
    hidden: int = 160
    """Units before the points."""

    def __post_init__(self) -> None:
        require_range(self, 1, inf, "width", "widths", "hidden")
        if not self.widths:
            raise ValueError("widths need at least one width")
        if self.width % (step := 4 * 2 ** len(self.widths)):
            raise ValueError(f"width = {self.width} is not a multiple of {step}, with {len(self.widths)} widths")

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a window."""
        return 3 * self.width // 4, self.width


class LipDetector(nn.Module):
    """Windows around mouths to lip points."""

    def __init__(self, config: LipDetectorConfig) -> None:
        super().__init__()
        self.config = config
        first, *later = config.widths
        layers: list[nn.Module] = [Unshuffle(2), conv_norm(12, first), NormResidual(first)]
        for before, after in zip(config.widths, later, strict=False):
            layers += [conv_norm(before, after, 2), NormResidual(after)]
        self.features = nn.Sequential(*layers)
        scale = 2 ** len(config.widths)
        cells = (config.size[0] // scale) * (config.size[1] // scale)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(config.widths[-1] * cells, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 2 * NUM_LIPS),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Windows `(B, 3, h, w)` in [0, 1] to the outer and inner lip `(B, 40, 2)`, in crop units from the window's
        center."""
        points: Tensor = self.head(self.features(4 * windows - 2)).float()
        return points.reshape(-1, NUM_LIPS, 2) / 10

    def detect(self, crops: Tensor, around: Tensor) -> Tensor:
        """Lips `(B, 40, 2)` of crops `(B, 3, S, S)` in [0, 1], crop units; `around`: `(B, 2)`, where to look."""
        turns = torch.eye(2, device=crops.device).expand(len(crops), 2, 2)
        lips: Tensor = self(cut_windows(crops, around, turns, self.config.size))
        return lips + around[:, None]


def cut_windows(crops: Tensor, center: Tensor, turns: Tensor, size: tuple[int, int]) -> Tensor:
    """Windows `(B, 3, h, w)` of `size` in crops `(B, 3, S, S)`.

    A place d from a window's middle, in crop units, shows what lies at `center + turns d` of the crop: `center` is
    `(B, 2)`, `turns` `(B, 2, 2)`.
    """
    spans = torch.tensor(SPAN, device=crops.device)
    # affine_grid's places and grid_sample's positions both run from -1 to 1, over the window and over the crop.
    theta = torch.cat([turns * spans, (2 * center - 1)[..., None]], 2)
    grid = F.affine_grid(theta, [len(crops), 3, *size], align_corners=False)
    return F.grid_sample(crops, grid, padding_mode="border", align_corners=False)
