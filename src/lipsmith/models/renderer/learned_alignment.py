"""The alignment model M_a as published: the whole flow is learned (section 3.2.1)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from lipsmith.models.blocks import conv3, each, res_blocks, unshuffled, upsample, zeroed
from lipsmith.models.renderer.alignment import RESIDUAL_UNIT, Alignment, Flows, Guesses, Request, View
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.flow import enlarge
from lipsmith.models.renderer.lip_flow import same_for_both
from lipsmith.models.renderer.spade import SpadeBlock


class LearnedAlignment(Alignment):
    """F_i, w_i = M_a(f^r_i, f^m, L): features of reference and masked target, fused and modulated by the sketches.

    The flow is computed at half of the resolution and is zero at step 0. Landmarks reach it only as sketches.
    """

    def __init__(self, config: RendererConfig) -> None:
        super().__init__(config)
        fine, coarse, norm = config.fine, config.coarse, config.modulation_norm
        self.fuse = nn.Sequential(conv3(2 * coarse, coarse), res_blocks(coarse, config.blocks))
        self.guided4 = SpadeBlock(coarse, 16 * config.sketches, coarse, norm)
        self.up = upsample(coarse, fine)
        self.guided2 = SpadeBlock(fine, 4 * config.sketches, fine, norm)
        self.head = nn.Sequential(nn.ReLU(), zeroed(conv3(fine, 3)))

    def estimate(self, request: Request, guesses: Guesses, views: list[View]) -> Flows:
        """As Alignment, from sketches and features alone."""
        count = request.reference_points.shape[1]
        fused = self.fuse(torch.cat([each(request.target, count), views[0].features], 1))
        x = self.guided4(fused, each(unshuffled(request.sketches, 4), count))
        x = self.guided2(self.up(x), each(unshuffled(request.sketches, 2), count))
        found = self.head(x).to(request.points.dtype)
        half, weight = RESIDUAL_UNIT * found[:, :2], torch.sigmoid(found[:, 2:]) + 1e-3
        return Flows(F.avg_pool2d(half, 2), same_for_both(enlarge(half, 2), half), weight)
