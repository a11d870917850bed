"""IP_LAP's modulated blocks: SPADE by a guide image, and AdaIN by a token."""

from __future__ import annotations

from collections.abc import Sequence

from einops import rearrange
from torch import Tensor, nn

from lipsmith.models.blocks import each
from lipsmith.models.renderer.spade import Modulate, Modulation


class SpadeModulator(nn.Module):
    """Scale and shift per pixel from a guide; as published, both convolutions are 3x3 and nothing is between them."""

    def __init__(self, channels: int, guide: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(guide, hidden, 3, 1, 1), nn.Conv2d(hidden, 2 * channels, 3, 1, 1))

    def forward(self, guide: Tensor) -> Modulation:
        """`(b, G, h, w)` to scale and shift `(b, C, h, w)`."""
        scale, shift = self.body(guide).chunk(2, dim=1)
        return scale, shift


class AdaInModulator(nn.Module):
    """Scale and shift per channel from a token."""

    def __init__(self, channels: int, token: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(token, hidden), nn.ReLU(), nn.Linear(hidden, 2 * channels))

    def forward(self, token: Tensor) -> Modulation:
        """`(b, d)` to scale and shift `(b, C, 1, 1)`."""
        scale, shift = rearrange(self.body(token), "b c -> b c 1 1").chunk(2, dim=1)
        return scale, shift


class ModulatedBlock(nn.Module):
    """Twice: instance normalization and modulation, leaky ReLU, 3x3 convolution; not residual."""

    def __init__(self, channels: int, modulators: Sequence[nn.Module]) -> None:
        super().__init__()
        self.modulators = nn.ModuleList(modulators)
        self.modulate = Modulate(channels, "instance")
        self.convs = nn.ModuleList([nn.Conv2d(channels, channels, 3, 1, 1) for _ in modulators])
        self.act = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor, guide: Tensor, count: int = 1) -> Tensor:
        """Features `(b count, C, h, w)`, and a guide that `count` of them share, `(b, ...)`, to features."""
        for modulator, conv in zip(self.modulators, self.convs, strict=True):
            scale, shift = (each(part, count) for part in modulator(guide))
            x = conv(self.act(self.modulate(x, (scale, shift))))
        return x


def spade(channels: int, guide: int, hidden: int) -> ModulatedBlock:
    """A block that a guide image modulates."""
    return ModulatedBlock(channels, [SpadeModulator(channels, guide, hidden) for _ in range(2)])


def adain(channels: int, token: int, hidden: int) -> ModulatedBlock:
    """A block that a token modulates."""
    return ModulatedBlock(channels, [AdaInModulator(channels, token, hidden) for _ in range(2)])
