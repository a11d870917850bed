"""Sharpens pictures in advance to compensate for the blur of bilinear sampling."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Prefilter(nn.Module):
    """Adds `amount` times the detail that a 3x3 binomial blur removes; has no parameters.

    Warping samples between pixels, and the mean of neighbors loses the finest detail. Filtering before sampling costs
    far less than a wider kernel at every sample (as in Unser's generalized interpolation).
    """

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures `(n, c, h, w)` in [0, 1] to the same shape, slightly outside [0, 1] at edges."""
        padded = F.pad(pictures, (1, 1, 1, 1), "replicate")
        # Two 2x2 means make the binomial; a convolution would round pixels to half precision under autocast.
        blurred = F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1)
        return pictures + self.amount * (pictures - blurred)
