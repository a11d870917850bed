"""The alignment model M_a: references are flowed onto the target's pose and mouth shape (section 3.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.blocks import conv3, res_blocks
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.context import Context, NoContext
from lipsmith.models.renderer.flow import LandmarkFlow, StillFlow, enlarge, is_exporting, positions, region_grid, warp
from lipsmith.models.renderer.lip_flow import LipFlow, NoLipFlow
from lipsmith.models.renderer.prefilter import Prefilter
from lipsmith.models.renderer.spade import Modulate, Modulator

# The head speaks in about 4 px of a 128 px crop: in crop units, one optimizer step would throw pixels across the face.
RESIDUAL_UNIT: Final = 0.03
# Remoteness from the landmarks at which a place is taken, before learning, to stand half with the picture.
HALFWAY: Final = 16.0
CUES: Final = 5


@dataclass(frozen=True)
class References:
    """What serves one batch of targets; k references for each of b targets."""

    images: Tensor
    """(b, k, 3, S, S) in [0, 1]."""
    points: Tensor
    """(b, k, 131, 2) crop units."""
    still: Tensor
    """(b, k, 2, 2) crop units: two points that stand still in the picture, `lipsmith.face.crop.still_points`."""
    fine: Tensor
    """(b, k, c1, S/2, S/2), f^r1."""
    coarse: Tensor
    """(b, k, c2, S/4, S/4), f^r2."""


@dataclass(frozen=True)
class Aligned:
    """The references after alignment and weighting, in the computed rows."""

    image: Tensor
    """(b, 3, H, S)."""
    fine: Tensor
    """(b, c1, H/2, S/2)."""
    coarse: Tensor
    """(b, c2, H/4, S/4)."""
    flow: Tensor
    """(b, k, 2, H, S) crop units: from a place of the target to where it lies in each reference."""
    warped: Tensor
    """(b, k, 3, H, S): each reference's picture, flowed."""
    weight: Tensor
    """(b, k, H/4, S/4), > 0: how far each reference is trusted."""


class FlowAlignment(nn.Module):
    """F_i = M_a(I^m, L^r_i, I^r_i, L), and the weighted mean of what the flows bring.

    The published model learns the whole flow. Here two flows are known to start from: a face moves as its landmarks
    say, and what is behind it stands still in the picture. The network says place by place how far each holds (a
    shoulder follows the head half way) and adds what both miss; it compares the target with references nearly in place,
    and the references with one another.
    """

    grid1: Tensor
    grid2: Tensor
    grid4: Tensor

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        size, top, channels = config.face_size, config.top, config.coarse
        self.known_rows = (size // 2 - top) // 4
        self.landmark_flow = LandmarkFlow(region_grid(size, top, 4))
        self.still_flow = StillFlow(region_grid(size, top, 4))
        self.lip_flow = LipFlow(size, top, config.lip_reach) if config.lip_reach else NoLipFlow()
        for name, step in (("grid1", 1), ("grid2", 2), ("grid4", 4)):
            self.register_buffer(name, region_grid(size, top, step), persistent=False)
        self.prefilter = Prefilter(config.prefilter) if config.prefilter else nn.Identity()
        self.from_target = conv3(channels, channels)
        self.from_reference = conv3(2 * channels + CUES, channels)
        self.fuse = res_blocks(channels, config.blocks)
        self.context = Context(channels, config.context) if config.context else NoContext()
        self.sketch_modulator = Modulator(16 * config.sketches, channels, 32)
        self.modulate = Modulate(channels, config.modulation_norm)
        self.head = nn.Sequential(nn.ReLU(), conv3(channels, 4))
        nn.init.zeros_(self.head[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[1].bias)  # type: ignore[arg-type]

    def forward(
        self, points: Tensor, still: Tensor, sketches: Tensor, known: Tensor, target: Tensor, references: References
    ) -> Aligned:
        """The references' aligned mean.

        Args:
            points: `(b, 131, 2)` crop units.
            still: `(b, 2, 2)` crop units, the target's two still points.
            sketches: `(b, 2k+1, H, S)`.
            known: `(b, 3, H, S)`, the target's upper half less 0.5 and zeros below.
            target: f^m2.
            references: k a target.
        """
        count = references.points.shape[1]
        moving, remoteness = self.landmark_flow(points, references.points)
        moving, standing = flat(moving), flat(self.still_flow(still, references.still))
        small = F.avg_pool2d(flat(references.images), 4).to(references.coarse.dtype)
        pictures = torch.cat([flat(references.coarse), small], 1)
        views = [warp(pictures, positions(self.grid4, flow)) for flow in (moving, standing)]
        prior = each(2 * torch.log(remoteness / HALFWAY + 1e-3), count)
        cues = [cue for view in views for cue in self._cues(view[:, -3:], known, count)]
        compared = self._compared([*(view[:, :-3] for view in views), *cues, prior])
        fused = self.fuse(each(self.from_target(target), count) + compared)
        fused = self.context(fused, count)
        scale, shift = self.sketch_modulator(F.pixel_unshuffle(sketches, 4))
        residual = self.head(self.modulate(fused, (each(scale, count), each(shift, count)))).to(points.dtype)
        share = torch.sigmoid(residual[:, 3:] + prior)
        flow = torch.lerp(moving, standing, share) + RESIDUAL_UNIT * residual[:, :2]
        flows = self.lip_flow(flow, moving, share, points, references.points)
        # Never quite zero, so that the mean exists where no reference is trusted.
        weight = torch.sigmoid(residual[:, 2:3]) + 1e-3
        images = self.lip_flow.sample(self.prefilter(flat(references.images)), self.grid1, flows)
        return Aligned(
            image=weighted_mean(images, weight, 4, count),
            fine=weighted_mean(warp(flat(references.fine), positions(self.grid2, flows.half)), weight, 2, count),
            coarse=weighted_mean(warp(flat(references.coarse), positions(self.grid4, flow)), weight, 1, count),
            flow=grouped(flows.full, count),
            warped=grouped(images, count),
            weight=grouped(weight[:, 0], count),
        )

    def _compared(self, seen: list[Tensor]) -> Tensor:
        """`from_reference` of what is seen of each reference."""
        conv = self.from_reference
        if not is_exporting():
            out: Tensor = conv(torch.cat(seen, 1))
            return out
        # Apart, because in 8 bits features and cues cannot share one range; see `release.quantize`.
        features, cues = torch.cat(seen[:2], 1), torch.cat(seen[2:], 1)
        of_features, of_cues = torch.split(conv.weight, [features.shape[1], cues.shape[1]], 1)
        return F.conv2d(features, of_features, conv.bias, 1, 1) + F.conv2d(cues, of_cues, None, 1, 1)

    def _cues(self, view: Tensor, known: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """What speaks against a flow: where the references `(b k, 3, h, w)` that it brings differ from one another, and
        column by column where they differ from what is known of the target; `(b k, 1, h, w)` each.
        """
        pictures = grouped(view, count)
        apart = flat((pictures - pictures.mean(1, keepdim=True)).abs().mean(2, keepdim=True))
        upper = each(F.avg_pool2d(known[..., : 4 * self.known_rows, :], 4) + 0.5, count)
        off = (view[..., : self.known_rows, :] - upper).abs().mean((1, 2), keepdim=True)
        return apart, off.expand_as(apart)


class NoAlignment(nn.Module):
    """The plain mean of the references where they are: the ablation without alignment."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.top = config.top

    def forward(
        self, points: Tensor, still: Tensor, sketches: Tensor, known: Tensor, target: Tensor, references: References
    ) -> Aligned:
        """As FlowAlignment, without a flow."""
        top, images = self.top, references.images[..., self.top :, :]
        return Aligned(
            image=images.mean(1),
            fine=references.fine.mean(1)[..., top // 2 :, :],
            coarse=references.coarse.mean(1)[..., top // 4 :, :],
            flow=torch.zeros_like(images[:, :, :2]),
            warped=images,
            weight=torch.ones_like(images[:, :, 0, ::4, ::4]),
        )


def weighted_mean(warped: Tensor, weight: Tensor, factor: int, count: int) -> Tensor:
    """sum_i w_i x_i / sum_i w_i over the references of each target; weights are enlarged to the features' size."""
    weight = enlarge(weight, factor) if factor > 1 else weight
    total = rearrange(warped * weight, "(b k) c h w -> b k c h w", k=count).sum(1)
    return total / rearrange(weight, "(b k) c h w -> b k c h w", k=count).sum(1)


def grouped(x: Tensor, count: int) -> Tensor:
    """`(b k, ...)` to `(b, k, ...)`, with `count` = k."""
    return rearrange(x, "(b k) ... -> b k ...", k=count)


def flat(x: Tensor) -> Tensor:
    """`(b, k, ...)` to `(b k, ...)`."""
    return rearrange(x, "b k ... -> (b k) ...")


def each(x: Tensor, count: int) -> Tensor:
    """Every target's features once for each of its references."""
    return repeat(x, "b ... -> (b k) ...", k=count)
