"""Spatially adaptive modulation (SPADE): a guide image determines scale and shift of features per pixel ([29])."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

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

    def forward(self, guide: Tensor) -> Modulation:
        """`(B, G, H, W)` to scale and shift, each `(B, C, H, W)`; small at step 0.

        They are not zero, because a zero last layer would block the gradient.
        """
        scale, shift = self.head(self.hidden(guide)).chunk(2, dim=1)
        return scale, shift


class Modulate(nn.Module):
    """x (1 + scale) + shift, after the normalization named."""

    def __init__(self, channels: int, norm: Literal["none", "instance"]) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels) if norm == "instance" else nn.Identity()

    def forward(self, x: Tensor, modulation: Modulation) -> Tensor:
        """`(B, C, H, W)` to the same shape."""
        scale, shift = modulation
        out: Tensor = self.norm(x) * (1 + scale) + shift
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
        for modulator, conv in zip(self.modulators, self.convs, strict=True):
            out = conv(self.act(self.modulate(out, modulator(guide))))
        return x + out
