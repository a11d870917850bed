"""The alignment model M_a: references are flowed onto the target's pose and mouth shape (section 3.2.1)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.face.landmarks import mouth_box
from lipsmith.models.blocks import conv3, each, flat, grouped, res_blocks, unshuffled, zeroed
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.context import Context, NoContext
from lipsmith.models.renderer.flow import (
    LandmarkFlow,
    StillFlow,
    enlarge,
    is_exporting,
    mean_over,
    positions,
    region_grid,
    warp,
)
from lipsmith.models.renderer.lip_flow import LipFlow, LipFlows, NoLipFlow, same_for_both
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
    warped: Tensor
    """(b, k, 3, H, S): each reference's picture, flowed."""
    weight: Tensor
    """(b, k, H/4, S/4), > 0: how far each reference is trusted."""


@dataclass(frozen=True)
class Guesses:
    """Two flows that are known before any network, in cells of 4 pixels."""

    moving: Tensor
    """(b, k, 2, H/4, S/4) crop units: as the landmarks move."""
    standing: Tensor
    """(b, k, 2, H/4, S/4) crop units: as the background stands still."""
    remoteness: Tensor
    """(b, 1, H/4, S/4), about (d / s)^2 of the distance d from the nearest landmark."""


@dataclass(frozen=True)
class Request:
    """Everything that the networks of an alignment know of a batch of targets, beside the references' pictures."""

    points: Tensor
    """(b, 131, 2) crop units."""
    reference_points: Tensor
    """(b, k, 131, 2) crop units."""
    sketches: Tensor
    """(b, 2k+1, H, S)."""
    known: Tensor
    """(b, 3, H, S), the target's upper half minus 0.5 and zeros below."""
    target: Tensor
    """f^m2."""


class View(NamedTuple):
    """What is seen of the references where a guess places them."""

    features: Tensor
    """(b k, c2, H/4, S/4)."""
    picture: Tensor
    """(b k, 3, H/4, S/4) in [0, 1]."""


@dataclass(frozen=True)
class Flows:
    """Where each place of the targets lies in each reference, crop units, and how far that is trusted."""

    quarter: Tensor
    """(b k, 2, H/4, S/4)."""
    lips: LipFlows
    """At higher resolutions."""
    weight: Tensor
    """(b k, 1, h, w), > 0, at the resolution of the network."""


class Alignment(nn.Module):
    """F_i = M_a(I^m, L^r_i, I^r_i, L), and the weighted mean of what the flows bring.

    Sampling has a step of its own between two networks, so that a dub may do it without them.
    """

    grid1: Tensor
    grid2: Tensor
    grid4: Tensor

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        for name, step in (("grid1", 1), ("grid2", 2), ("grid4", 4)):
            self.register_buffer(name, region_grid(config.face_size, config.top, step), persistent=False)
        self.prefilter = Prefilter(config.prefilter) if config.prefilter else nn.Identity()

    def guess(self, points: Tensor, still: Tensor, reference_points: Tensor, reference_still: Tensor) -> Guesses:
        """The identity; shapes as in `forward`."""
        flow = self.grid4.new_zeros(*reference_points.shape[:2], 2, *self.grid4.shape[:2])
        return Guesses(flow, flow, flow[:, :1, 0])

    @abstractmethod
    def estimate(self, request: Request, guesses: Guesses, views: list[View]) -> Flows:
        """The flows; `views`: the references, sampled at the `moving` and at the `standing` guess."""

    def forward(self, request: Request, still: Tensor, references: References) -> Aligned:
        """The references' aligned mean; `still`: `(b, 2, 2)` crop units, the target's two still points."""
        guesses = self.guess(request.points, still, references.points, references.still)
        small = flat(with_small(references.coarse, references.images))
        at = (positions(self.grid4, flat(guess)) for guess in (guesses.moving, guesses.standing))
        views = [View(*warp(small, places).tensor_split([-3], 1)) for places in at]
        flows = self.estimate(request, guesses, views)
        return self._sampled(references, flows)

    def _sampled(self, references: References, flows: Flows) -> Aligned:
        """References and their weighted mean at the flows."""
        count, lips, box = references.points.shape[1], flows.lips, mouth_box(*self.grid1.shape[:2])
        sharp = self.prefilter(flat(references.images))
        lower, upper = positions(self.grid1, lips.lower), positions(self.grid1[box], lips.upper)
        images = lips.joined(warp(sharp, lower), warp(sharp, upper))
        fine = warp(flat(references.fine), positions(self.grid2, lips.half))
        coarse = warp(flat(references.coarse), positions(self.grid4, flows.quarter))
        return Aligned(
            image=weighted_mean(images, flows.weight, count),
            fine=weighted_mean(fine, flows.weight, count),
            coarse=weighted_mean(coarse, flows.weight, count),
            warped=grouped(images, count),
            weight=grouped(at_size_of(coarse, flows.weight)[:, 0], count),
        )


class FlowAlignment(Alignment):
    """The alignment that starts from two known flows, instead of learning the whole flow as published.

    A face moves as its landmarks say, and what is behind it stands still in the picture. The network says place by
    place how far each holds (a shoulder follows the head half way) and adds what both miss; it compares the target with
    references nearly in place, and the references with one another.
    """

    def __init__(self, config: RendererConfig) -> None:
        super().__init__(config)
        size, top, channels = config.face_size, config.top, config.coarse
        self.known_rows = (size // 2 - top) // 4
        self.landmark_flow = LandmarkFlow(region_grid(size, top, 4))
        self.still_flow = StillFlow(region_grid(size, top, 4))
        self.lip_flow = LipFlow(size, top, config.lip_reach) if config.lip_reach else NoLipFlow()
        self.from_target = conv3(channels, channels)
        self.from_reference = conv3(2 * channels + CUES, channels)
        self.fuse = res_blocks(channels, config.blocks)
        self.context = Context(channels, config.context) if config.context else NoContext()
        self.sketch_modulator = Modulator(16 * config.sketches, channels, 32)
        self.modulate = Modulate(channels, config.modulation_norm)
        self.head = nn.Sequential(nn.ReLU(), zeroed(conv3(channels, 4)))

    def guess(self, points: Tensor, still: Tensor, reference_points: Tensor, reference_still: Tensor) -> Guesses:
        """Landmark flow and still flow."""
        moving, remoteness = self.landmark_flow(points, reference_points)
        return Guesses(moving, self.still_flow(still, reference_still), remoteness)

    def estimate(self, request: Request, guesses: Guesses, views: list[View]) -> Flows:
        """As Alignment."""
        count = request.reference_points.shape[1]
        moving, standing = flat(guesses.moving), flat(guesses.standing)
        prior = each(2 * torch.log(guesses.remoteness / HALFWAY + 1e-3), count)
        cues = [cue for view in views for cue in self._cues(view.picture, request.known, count)]
        compared = self._compared([*(view.features for view in views), *cues, prior])
        fused = self.fuse(each(self.from_target(request.target), count) + compared)
        fused = self.context(fused, count)
        scale, shift = self.sketch_modulator(unshuffled(request.sketches, 4))
        residual = self.head(self.modulate(fused, (each(scale, count), each(shift, count)))).to(request.points.dtype)
        share = torch.sigmoid(residual[:, 3:] + prior)
        flow = moving + share * (standing - moving) + RESIDUAL_UNIT * residual[:, :2]
        lips = self.lip_flow(flow, moving, share, request.points, request.reference_points)
        # Never quite zero, so that the mean exists where no reference is trusted.
        return Flows(flow, lips, torch.sigmoid(residual[:, 2:3]) + 1e-3)

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


class NoAlignment(Alignment):
    """The plain mean of the references where they are: the ablation without alignment."""

    def estimate(self, request: Request, guesses: Guesses, views: list[View]) -> Flows:
        """The identity, with equal weights."""
        full, half, quarter = (enlarge(flat(guesses.moving), factor) for factor in (4, 2, 1))
        return Flows(quarter, same_for_both(full, half), torch.ones_like(quarter[:, :1]))


def with_small(coarse: Tensor, images: Tensor) -> Tensor:
    """Features `(b, k, c2, S/4, S/4)` and the pictures `(b, k, 3, S, S)` at their size."""
    small = grouped(F.avg_pool2d(flat(images), 4), images.shape[1]).to(coarse.dtype)
    return torch.cat([coarse, small], 2)


def weighted_mean(sampled: Tensor, weight: Tensor, count: int) -> Tensor:
    """sum_i w_i x_i / sum_i w_i over the references of each target; weights are resampled to the features' size."""
    weight = at_size_of(sampled, weight)
    return mean_over(grouped(sampled * weight, count)) / mean_over(grouped(weight, count))


def at_size_of(features: Tensor, weight: Tensor) -> Tensor:
    """Weights `(n, 1, h, w)` at the resolution of features, bilinear or as means."""
    have, wanted = weight.shape[-1], features.shape[-1]
    if have > wanted:
        return F.avg_pool2d(weight, have // wanted)
    return enlarge(weight, wanted // have) if have < wanted else weight
