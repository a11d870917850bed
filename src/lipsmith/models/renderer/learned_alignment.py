"""The alignment model M_a as published: the whole flow is learned (section 3.2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.blocks import conv3, res_blocks, upsample
from lipsmith.models.renderer.alignment import RESIDUAL_UNIT, Aligned, References, each, flat, grouped, weighted_mean
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.flow import enlarge, positions, region_grid, warp
from lipsmith.models.renderer.spade import SpadeBlock


class LearnedAlignment(nn.Module):
    """F_i, w_i = M_a(f^r_i, f^m, L): features of reference and masked target, fused and modulated by the sketches.

    The flow is computed at half of the resolution and is zero at step 0. Landmarks reach it only as sketches.
    """

    grid1: Tensor
    grid2: Tensor
    grid4: Tensor

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        fine, coarse, norm = config.fine, config.coarse, config.modulation_norm
        for name, step in (("grid1", 1), ("grid2", 2), ("grid4", 4)):
            self.register_buffer(name, region_grid(config.face_size, config.top, step), persistent=False)
        self.top = config.top
        self.fuse = nn.Sequential(conv3(2 * coarse, coarse), res_blocks(coarse, config.blocks))
        self.guided4 = SpadeBlock(coarse, 16 * config.sketches, coarse, norm)
        self.up = upsample(coarse, fine)
        self.guided2 = SpadeBlock(fine, 4 * config.sketches, fine, norm)
        self.head = nn.Sequential(nn.ReLU(), conv3(fine, 3))
        nn.init.zeros_(self.head[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[1].bias)  # type: ignore[arg-type]

    def forward(
        self, points: Tensor, still: Tensor, sketches: Tensor, known: Tensor, target: Tensor, references: References
    ) -> Aligned:
        """As FlowAlignment, from `sketches`, `target` and `references` alone."""
        count = references.images.shape[1]
        of_references = flat(references.coarse)[..., self.top // 4 :, :]
        fused = self.fuse(torch.cat([each(target, count), of_references], 1))
        x = self.guided4(fused, each(F.pixel_unshuffle(sketches, 4), count))
        x = self.guided2(self.up(x), each(F.pixel_unshuffle(sketches, 2), count))
        found = self.head(x).to(points.dtype)
        half, weight = RESIDUAL_UNIT * found[:, :2], torch.sigmoid(found[:, 2:]) + 1e-3
        full, quarter = enlarge(half, 2), F.avg_pool2d(half, 2)
        images = warp(flat(references.images), positions(self.grid1, full))
        small = F.avg_pool2d(weight, 2)
        return Aligned(
            image=weighted_mean(images, weight, 2, count),
            fine=weighted_mean(warp(flat(references.fine), positions(self.grid2, half)), weight, 1, count),
            coarse=weighted_mean(warp(flat(references.coarse), positions(self.grid4, quarter)), small, 1, count),
            flow=grouped(full, count),
            warped=grouped(images, count),
            weight=grouped(small[:, 0], count),
        )
