"""What bilinear sampling takes away from a picture is given to it beforehand."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Prefilter(nn.Module):
    """Pictures sharpened by `amount` of what a 3x3 binomial blur takes away; learns nothing.

    A flow samples between pixels, and a mean of neighbors loses the finest detail. Filtering before sampling costs
    far less than a wider kernel at every sample (as in Unser's generalized interpolation).
    """

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures `(n, c, h, w)` in [0, 1] to as many, a little beyond [0, 1] at edges."""
        padded = F.pad(pictures, (1, 1, 1, 1), "replicate")
        # Twice a mean of 2x2 is the binomial; a convolution would round pixels to half precision under autocast.
        blurred = F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1)
        return pictures + self.amount * (pictures - blurred)
