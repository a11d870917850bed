"""Matches the light of the references to the target, to avoid a seam at the upper edge of the rendered half."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.flow import interpolate

CELL: Final = 4  # pixels
STRENGTH: Final = 0.9
SPREAD: Final = 0.05
"""Horizontal smoothing of the difference, crop units (standard deviation)."""
REACH: Final = 0.25
"""Vertical decay of the correction, crop units (to 1/e)."""


class LightMatch(nn.Module):
    """Adds the difference of target and references just above S/2 to the rows below, per column and with decay.

    It has no learned parameters: the constants above are the best of a few for the warped references of `val`.
    """

    columns: Tensor
    falloff: Tensor

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        size, top = config.face_size, config.top
        self.context = size // 2 - top
        across = (torch.arange(size // CELL) + 0.5) * CELL / size
        spread = torch.softmax(-0.5 * ((across[:, None] - across) / SPREAD) ** 2, dim=0)
        below = ((torch.arange((size - top) // CELL) + 0.5) * CELL / size - self.context / size).clamp_min(0)
        self.register_buffer("columns", spread, persistent=False)
        falloff = STRENGTH * torch.exp(-below / REACH)
        self.register_buffer("falloff", falloff[None, None, :, None], persistent=False)

    def forward(self, known: Tensor, aligned: Tensor) -> Tensor:
        """Target minus 0.5 (known above S/2) and aligned references, `(b, 3, H, S)` each, to references in its
        light."""
        edge = (..., slice(self.context - CELL, self.context), slice(None))
        difference = F.avg_pool2d(known[edge] + 0.5 - aligned[edge], CELL) @ self.columns
        rows, columns = aligned.shape[2:]
        # Interpolated along one axis each, because their product is separable.
        return aligned + interpolate(self.falloff, (rows, 1)) * interpolate(difference, (1, columns))
