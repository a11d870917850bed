"""Computes the weights with which the references' fine detail is added to a rendered picture; has no parameters."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.blocks import flat, grouped
from lipsmith.models.renderer.flow import cell_means, enlarge, mean_over, softmax

CELL: Final = 4
"""Side of a cell in pixels: shares have a quarter of the resolution."""
_BROAD: Final = 8
"""Structure wider than the crop's side divided by this counts as light, not detail."""
_TOLERANCE: Final = 0.1
"""Difference, as a share of the picture's contrast, at which the weight of a reference falls to 1/e."""
_FAINT: Final = 1 / 255


class DetailShare(nn.Module):
    """The share of each warped reference in the detail of the rendered picture.

    A warped reference that matches the rendered picture has its detail in the right place. Differences are measured
    relative to the local contrast, so that skin is judged as strictly as teeth.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.broad = size // _BROAD

    def forward(self, warped: Tensor, weight: Tensor, image: Tensor) -> Tensor:
        """Shares `(b, k, H/4, W/4)` that add up to 1 over the k references.

        Args:
            warped: `(b, k, 3, H, W)`, the warped references.
            weight: `(b, k, H/4, W/4)`, > 0, the alignment's weight of each of them.
            image: `(b, 3, H, W)`, the rendered picture.
        """
        count = warped.shape[1]
        off = _cell_means(self._detail(flat(warped - image[:, None])))
        scale = _TOLERANCE * (_cell_means(self._detail(image)) + _FAINT)
        return softmax(weight.log() - grouped(off, count) / scale[:, None])

    def _detail(self, pictures: Tensor) -> Tensor:
        """Pictures `(n, 3, H, W)` minus their low-frequency light."""
        return pictures - enlarge(cell_means(pictures, self.broad), self.broad)


def _cell_means(pictures: Tensor) -> Tensor:
    """Mean amplitude `(n, H/4, W/4)` of pictures `(n, 3, H, W)` in each cell and its eight neighbors."""
    cells = F.avg_pool2d(mean_over(pictures.abs())[:, None], CELL)
    return F.avg_pool2d(F.pad(cells, (1, 1, 1, 1), "replicate"), 3, 1)[:, 0]
