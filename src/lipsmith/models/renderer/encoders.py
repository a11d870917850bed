"""The encoders E_r of references and E_m of the masked target (section 3.2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipsmith.models.blocks import Unshuffle, conv3, res_blocks
from lipsmith.models.renderer.config import RendererConfig


class ReferenceEncoder(nn.Module):
    """E_r: encodes a reference and its sketch at half and a quarter of the resolution. Runs once per reference."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.fine = nn.Sequential(Unshuffle(2), conv3(16, config.fine), nn.ReLU(), conv3(config.fine, config.fine))
        self.coarse = _halving(config)

    def forward(self, image: Tensor, sketch: Tensor) -> tuple[Tensor, Tensor]:
        """Image `(n, 3, S, S)` in [0, 1] and sketch `(n, 1, S, S)` to `(n, c1, S/2, S/2)` and `(n, c2, S/4, S/4)`."""
        fine = self.fine(torch.cat([image - 0.5, sketch], 1))
        return fine, self.coarse(fine)


class TargetEncoder(nn.Module):
    """E_m: encodes the masked target and its sketches as f^m1 and f^m2, in the computed rows."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.fine = nn.Sequential(Unshuffle(2), conv3(4 * (3 + config.sketches), config.fine))
        self.coarse = _halving(config)

    def forward(self, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Masked image and sketches `(b, 3 + 2k+1, H, S)` to `(b, c1, H/2, S/2)` and `(b, c2, H/4, S/4)`."""
        fine = self.fine(masked)
        return fine, self.coarse(fine)


def _halving(config: RendererConfig) -> nn.Sequential:
    """From features at half to those at a quarter of the resolution."""
    return nn.Sequential(nn.ReLU(), conv3(config.fine, config.coarse, 2), res_blocks(config.coarse, config.blocks))
