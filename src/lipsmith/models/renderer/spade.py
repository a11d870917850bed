"""Spatially adaptive modulation (SPADE): a guide image determines scale and shift of features per pixel ([29])."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.blocks import conv3

Modulation = tuple[Tensor, Tensor]


class Modulator(nn.Module):
    """Computes scale and shift from a guide. They depend only on the guide, so they are computed once and reused."""

    def __init__(self, guide: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(conv3(guide, hidden), nn.ReLU())
        self.head = nn.Conv2d(hidden, 2 * channels, 1)
        nn.init.normal_(self.head.weight, std=0.1 / hidden**0.5)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    @property
    def conv(self) -> nn.Conv2d:
        """The first layer."""
        return cast("nn.Conv2d", self.hidden[0])

    def forward(self, guide: Tensor) -> Modulation:
        """`(B, G, H, W)` to scale and shift, each `(B, C, H, W)`; about 1 and 0 at step 0.

        They are not exactly 1 and 0, because a zero last layer would block the gradient.
        """
        (modulation,) = modulations([self], guide)
        return modulation


def modulations(modulators: Sequence[Modulator], guide: Tensor) -> list[Modulation]:
    """What each modulator makes of the same guide `(B, G, H, W)`: all at once, because few channels use a processor
    badly."""
    convs, heads = [modulator.conv for modulator in modulators], [modulator.head for modulator in modulators]
    hidden = F.conv2d(guide, torch.cat([conv.weight for conv in convs]), _biases(convs), 1, 1)
    channels, count = heads[0].out_channels // 2, 2 * len(heads)
    weight = torch.block_diag(*(head.weight[..., 0, 0] for head in heads))  # type: ignore[no-untyped-call]
    ones = torch.ones_like(heads[0].weight[:channels, 0, 0, 0])
    neutral = torch.cat([ones, torch.zeros_like(ones)] * len(heads))
    made = F.conv2d(torch.relu(hidden), weight[..., None, None], _biases(heads) + neutral)
    scales_and_shifts = torch.split(made, [channels] * count, 1)
    return list(zip(scales_and_shifts[::2], scales_and_shifts[1::2], strict=True))


def _biases(layers: Sequence[nn.Conv2d]) -> Tensor:
    return torch.cat([layer.bias for layer in layers if layer.bias is not None])


class Modulate(nn.Module):
    """x scale + shift, after the normalization named."""

    def __init__(self, channels: int, norm: Literal["none", "instance"]) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels) if norm == "instance" else nn.Identity()

    def forward(self, x: Tensor, modulation: Modulation) -> Tensor:
        """`(B, C, H, W)` to the same shape."""
        scale, shift = modulation
        out: Tensor = self.norm(x) * scale + shift
        return out


class SpadeBlock(nn.Module):
    """Residual block of two convolutions, each preceded by modulation with the guide."""

    def __init__(self, channels: int, guide: int, hidden: int, norm: Literal["none", "instance"]) -> None:
        super().__init__()
        self.modulators = nn.ModuleList([Modulator(guide, channels, hidden) for _ in range(2)])
        self.modulate = Modulate(channels, norm)
        self.convs = nn.ModuleList([conv3(channels, channels) for _ in range(2)])
        self.act = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Features `(B, C, H, W)` and guide `(B, G, H, W)` to features of the same shape."""
        out = x
        for modulation, conv in zip(
            modulations(cast("list[Modulator]", list(self.modulators)), guide), self.convs, strict=True
        ):
            out = conv(self.act(self.modulate(out, modulation)))
        return x + out
