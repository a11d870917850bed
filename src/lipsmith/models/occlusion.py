"""Tells what lies before a face from its skin, by the difference of a filmed and a drawn picture."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.config import require_range
from lipsmith.models.blocks import NormResidual, conv_norm

_MOST_WIDTHS: Final = 6
"""The 32 rows of a lower half can be halved five times."""


@dataclass(frozen=True)
class OcclusionConfig:
    """The architecture; stored in the model folder."""

    widths: tuple[int, ...] = (16, 24, 32, 48)
    """Channels at the full resolution, at a half of it, a quarter and so on."""

    def __post_init__(self) -> None:
        require_range(self, 1, inf, "widths")
        if not 2 <= len(self.widths) <= _MOST_WIDTHS:
            raise ValueError(f"widths need 2 to {_MOST_WIDTHS} widths")


class OcclusionNetwork(nn.Module):
    """A U-Net on both pictures."""

    def __init__(self, config: OcclusionConfig) -> None:
        super().__init__()
        self.config = config
        first, *_ = widths = config.widths
        steps = list(pairwise(widths))
        self.enter = conv_norm(6, first)
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm(before, after, 2), NormResidual(after)) for before, after in steps
        )
        self.deepest = NormResidual(widths[-1])
        self.up = nn.ModuleList(conv_norm(before + after, before) for before, after in reversed(steps))
        self.leave = nn.Conv2d(first, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `(B, h, w)`, above 0 where something lies before the face.

        `pictures`: `(B, 6, h, w)` in [0, 1], the lower half of a crop as filmed and as drawn; sides are divisible by 2
        once for each width but the first.
        """
        levels = [self.enter(4 * pictures - 2)]
        for down in self.down:
            levels.append(down(levels[-1]))
        found = self.deepest(levels.pop())
        for up in self.up:
            found = up(torch.cat([levels.pop(), F.interpolate(found, scale_factor=2.0)], 1))
        logits: Tensor = self.leave(found)[:, 0]
        return logits


class OcclusionStage(nn.Module):
    """The network as it is exported."""

    def __init__(self, network: OcclusionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """Probabilities instead of `OcclusionNetwork`'s logits."""
        return torch.sigmoid(self.network(pictures))
