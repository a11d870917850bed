"""What bilinear sampling takes away from a picture is given to it beforehand."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


class Prefilter(nn.Module):
    """Pictures sharpened by `amount` of what a 3x3 binomial blur takes away; learns nothing.

    A flow samples between pixels, and a mean of neighbours loses the finest detail: half of it, halfway. Filtering
    before sampling costs far less than a wider kernel at every sample (as in Unser's generalised interpolation).
    """

    kernel: Tensor

    def __init__(self, amount: float) -> None:
        super().__init__()
        binomial = torch.tensor([1.0, 2.0, 1.0])
        kernel = -amount * torch.outer(binomial, binomial) / 16
        kernel[1, 1] += 1 + amount
        self.register_buffer("kernel", kernel[None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures `(n, c, h, w)` in [0, 1] to as many, a little beyond [0, 1] at edges."""
        channels = pictures.shape[1]
        padded = F.pad(pictures, (1, 1, 1, 1), "replicate")
        # As so many grey pictures: a kernel per channel would have to be repeated for each.
        filtered = F.conv2d(rearrange(padded, "n c h w -> (n c) 1 h w"), self.kernel)
        return rearrange(filtered, "(n c) 1 h w -> n c h w", c=channels)
