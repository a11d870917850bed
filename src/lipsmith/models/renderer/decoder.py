"""The decoder from features to the picture: SPADE guided by the aligned references, and PixelShuffle (section 3.2)."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from lipsmith.models.blocks import conv3, res_blocks, upsample, zeroed
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.spade import SpadeBlock

_REACH: Final = 4
"""Rows that `block1` and `head` reach: three convolutions, and one of the guide."""


class Decoder(nn.Module):
    """Features at a quarter of the resolution to an image, guided by f^c2, f^c1 and I^c.

    The output is a correction of the aligned references, so that their content need not be synthesized again; at step 0
    the picture equals theirs. (Blending in a synthesized picture with a learned share collapses: while the synthesis is
    poor the share goes to zero, and the synthesis gets no gradient.)
    """

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        full, fine, coarse, norm = config.full, config.fine, config.coarse, config.modulation_norm
        self.block4 = SpadeBlock(coarse, 2 * coarse, coarse, norm)
        self.up2 = upsample(coarse, fine)
        self.paint4 = res_blocks(coarse, config.painting)
        self.block2 = SpadeBlock(fine, 2 * fine, fine, norm)
        self.paint2 = res_blocks(fine, config.painting)
        self.up1 = upsample(fine, full)
        self.block1 = SpadeBlock(full, 6, full, norm)
        self.head = nn.Sequential(nn.LeakyReLU(0.2), zeroed(conv3(full, 3)))
        self.above = config.face_size // 2 - config.top

    def forward(self, features: Tensor, coarse: Tensor, fine: Tensor, image: Tensor) -> Tensor:
        """Features `(b, c2, h, w)`, guides f^c2, f^c1, I^c (masked target, aligned reference) to the lower half
        `(b, 3, S/2, S)`."""
        x = self.paint4(self.block4(features, coarse))
        x = self.paint2(self.block2(self.up2(x), fine))
        # Of the rows above, which cost as much as any, only those that the convolutions below them reach.
        above = min(_REACH, self.above)
        x, image = (rows[..., self.above - above :, :] for rows in (self.up1(x), image))
        picture: Tensor = image[:, 3:] + self.head(self.block1(x, image))
        return picture[..., above:, :]
