"""Large-scale context of all references: shoulders move as a whole but exceed the receptive field of the alignment."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipsmith.models.blocks import conv3, each, grouped, res_blocks, zeroed
from lipsmith.models.renderer.flow import interpolate, mean_over


class Context(nn.Module):
    """x_i + U(x_i, mean_j x_j): an hourglass over an eighth and a sixteenth of the resolution; zero at step 0.

    Without it, the flow of a reference depends on 36 pixels around a position, and on the other references only through
    their disagreement.
    """

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.own = conv3(channels, wide, 2)
        self.shared = conv3(channels, wide, 2)
        self.far = nn.Sequential(nn.ReLU(), conv3(wide, wide, 2), res_blocks(wide, 1))
        self.near = nn.Sequential(res_blocks(wide, 1), nn.ReLU())
        self.out = zeroed(nn.Conv2d(wide, channels, 1))

    def forward(self, x: Tensor, count: int) -> Tensor:
        """Features `(b k, c, h, w)` of the `count` = k references of each target, to the same shape."""
        active = torch.relu(x)
        mean = mean_over(grouped(active, count))
        half = self.own(active) + each(self.shared(mean), count)
        seen = self.out(self.near(half + interpolate(self.far(half), half.shape[2:])))
        return x + interpolate(seen, x.shape[2:])


class NoContext(nn.Module):
    """Leaves each reference's features unchanged."""

    def forward(self, x: Tensor, count: int) -> Tensor:
        """Features `(b k, c, h, w)` unchanged."""
        return x
