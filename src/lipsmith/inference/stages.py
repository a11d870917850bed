"""The torch modules behind the stages of a model folder (see docs/architecture.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn

from lipsmith.config import build
from lipsmith.errors import WeightsError
from lipsmith.face.landmarks import mouth_box
from lipsmith.inference.weights import WEIGHTS, of_network, read_weights
from lipsmith.models.blocks import flat, grouped
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import LandmarkGenerator, build_landmark_generator
from lipsmith.models.renderer.alignment import Aligned, Guesses, Request, View, at_size_of, weighted_mean, with_small
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.detail import DetailShare
from lipsmith.models.renderer.flow import mean_over
from lipsmith.models.renderer.network import EncodedTarget, Renderer, as_masked

T = TypeVar("T")


class ReferenceStage(nn.Module):
    """What is needed of a reference in any target."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.renderer = renderer

    def forward(self, image: Tensor, sketch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of pictures `(n, 3, S, S)` in [0, 1] and sketches `(n, 1, S, S)`: f^r1, f^r2 with the small picture
        `(n, c2 + 3, S/4, S/4)`, and the picture sharpened for sampling."""
        fine, coarse = self.renderer.encode_reference(image, sketch)
        small = with_small(coarse[:, None], image[:, None])[:, 0]
        return fine, small, self.renderer.alignment.prefilter(image)


class LipStage(nn.Module):
    """What is needed of a lip reference in any target."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.renderer = renderer

    def forward(self, image: Tensor, sketch: Tensor) -> Tensor:
        """`Renderer.encode_lip`."""
        return self.renderer.encode_lip(image, sketch)


class GuessStage(nn.Module):
    """Where a target's cells lie in each reference, before any network."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.alignment = renderer.alignment

    def forward(
        self, points: Tensor, still: Tensor, reference_points: Tensor, reference_still: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Positions `(b, k, 2, H/4, S/4)`, moving with the landmarks and standing still, and remoteness.

        Inputs and outputs otherwise as in `Alignment.guess`.
        """
        found = self.alignment.guess(points, still, reference_points, reference_still)
        grid = self.alignment.grid4
        return at(grid, found.moving), at(grid, found.standing), found.remoteness


class AlignStage(nn.Module):
    """The network of the alignment, up to what is sampled."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.renderer = renderer

    def forward(
        self,
        known: Tensor,
        sketches: Tensor,
        points: Tensor,
        reference_points: Tensor,
        moving: Tensor,
        standing: Tensor,
        remoteness: Tensor,
        seen_moving: Tensor,
        seen_standing: Tensor,
    ) -> tuple[Tensor, ...]:
        """The positions to sample, their weights, and the target's features.

        Args:
            known: `(b, 3, S/2 - top, S)` in [0, 1], the computed rows of the target above S/2.
            sketches: `(b, 2k+1, H, S)` in [0, 1], in the computed rows.
            points, reference_points: as in `Renderer.render`.
            moving, standing, remoteness: from `GuessStage`.
            seen_moving, seen_standing: `(b, k, H/4, S/4, c2 + 3)`, f^r2 with the small picture at those positions.

        Returns:
            Positions, crop units: `(b, k, 2, H/4, S/4)`, `(b, k, 2, H/2, S/2)`, for the lower side of the lips
            `(b, k, 2, H, S)`, and for the upper side in their box `(b, k, 2, h, w)`; the share of the upper side
            `(b, h, w)`; weights `(b, k, ., .)`; f^m1 and f^m2, `(b, h, w, c)`.
        """
        alignment, count = self.renderer.alignment, reference_points.shape[1]
        masked = self.renderer.encode_target(as_masked(known, sketches))
        request = Request(points, reference_points, masked.sketches, masked.known, masked.coarse)
        guesses = Guesses(*displacements(alignment.grid4, moving, standing), remoteness)
        views = [View(_planes(seen[..., :-3]), _planes(seen[..., -3:])) for seen in (seen_moving, seen_standing)]
        flows = alignment.estimate(request, guesses, views)
        lips, box = flows.lips, mouth_box(*alignment.grid1.shape[:2])
        placed = (
            (alignment.grid4, flows.quarter),
            (alignment.grid2, lips.half),
            (alignment.grid1, lips.lower),
            (alignment.grid1[box], lips.upper),
        )
        return (
            *(at(grid, grouped(flow, count)) for grid, flow in placed),
            grouped(lips.above, count)[:, 0, 0],
            grouped(flows.weight, count)[:, :, 0],
            rearrange(masked.fine, "b c h w -> b h w c"),
            rearrange(masked.coarse, "b c h w -> b h w c"),
        )


class PaintStage(nn.Module):
    """`Renderer.paint` with only tensors as inputs and outputs."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.renderer = renderer
        self.share = DetailShare(renderer.config.face_size)

    def forward(
        self,
        known: Tensor,
        sketches: Tensor,
        mel: Tensor,
        lips: Tensor,
        target_fine: Tensor,
        target_coarse: Tensor,
        fine: Tensor,
        coarse: Tensor,
        pictures: Tensor,
        weight: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Pictures of the lower half `(b, 3, S/2, S)` in [0, 1] and shares of the references' detail
        `(b, k, H/4, S/4)`.

        Args:
            known, sketches, target_fine, target_coarse: as in `AlignStage`.
            mel, lips: as in `Renderer.render`.
            fine, coarse: `(b, k, h, w, c)`, the sampled features of the references; the last three of `coarse` are left
                out.
            pictures: `(b, k, H, S, 3)`, the sampled references.
            weight: `(b, k, ., .)`, from `AlignStage`.
        """
        target, of_target = as_masked(known, sketches), [_planes(level) for level in (target_fine, target_coarse)]
        encoded = EncodedTarget(target.known, target.sketches, *of_target)
        count, weights = pictures.shape[1], flat(weight)[:, None]
        of_fine, of_coarse = mean_of_references(fine, weights), mean_of_references(coarse, weights)[:, :-3]
        shown, of_cells = _planes(pictures), grouped(at_size_of(of_coarse, weights)[:, 0], count)
        aligned = Aligned(weighted_mean(shown, weights, count), of_fine, of_coarse, grouped(shown, count), of_cells)
        lower, _ = self.renderer.paint(encoded, aligned, mel, lips)
        drawn = lower.clamp(0, 1)
        return drawn, self.share(aligned.warped, of_cells, torch.cat([known, drawn], 2))


def mean_of_references(features: Tensor, weights: Tensor) -> Tensor:
    """sum_i w_i x_i / sum_i w_i `(b, c, h, w)` of features `(b, k, h, w, c)` and weights `(b k, 1, ., .)`."""
    share = grouped(at_size_of(features[:, 0, None, ..., 0], weights)[:, 0], features.shape[1])
    share = share / mean_over(share)[:, None]
    # As a product with ones, because ONNX Runtime is slow at broadcasting along a short last axis.
    repeated = share[..., None] @ features.new_ones(1, features.shape[-1])
    return _planes(mean_over(features * repeated))


def _planes(pictures: Tensor) -> Tensor:
    """Pictures or features `(..., h, w, c)` as `(n, c, h, w)`."""
    return pictures.flatten(0, -4).permute(0, 3, 1, 2)


def at(grid: Tensor, flow: Tensor) -> Tensor:
    """Positions `(b, k, 2, h, w)` that flows `(b, k, 2, h, w)` reach from `grid` `(h, w, 2)`."""
    return flow + grid.permute(2, 0, 1)


def displacements(grid: Tensor, moving: Tensor, standing: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `at`, for both guesses."""
    return moving - grid.permute(2, 0, 1), standing - grid.permute(2, 0, 1)


def renderer_stages(renderer: Renderer) -> dict[str, nn.Module]:
    """The stages of the renderer by name."""
    return {
        "reference": ReferenceStage(renderer),
        "lip": LipStage(renderer),
        "guess": GuessStage(renderer),
        "align": AlignStage(renderer),
        "paint": PaintStage(renderer),
    }


def make_stages(generator: LandmarkGenerator, renderer: Renderer) -> dict[str, nn.Module]:
    """All stages by name; they share the weights of the two networks."""
    return {"speech": generator.speech, "landmarks": generator.transformer, **renderer_stages(renderer)}


def load_stages(path: Path) -> dict[str, nn.Module]:
    """The stages of the model folder `path`, on the CPU, in float32, ready for inference.

    Raises WeightsError if config or weights are missing, damaged, or do not match.
    """
    generator, renderer = load_networks(path)
    return make_stages(generator, renderer)


def load_networks(path: Path) -> tuple[LandmarkGenerator, Renderer]:
    """The two networks of the model folder `path`; otherwise like `load_stages`."""
    config, weights = _read_config(path / "config.json"), read_weights(path / WEIGHTS)
    generator = build_landmark_generator(_configured(LandmarkConfig, config, "landmarks", path))
    renderer = Renderer(_configured(RendererConfig, config, "renderer", path))
    for name, network in (("landmarks", generator), ("renderer", renderer)):
        try:
            network.load_state_dict(of_network(weights, name))  # copies to float32 parameters
        except RuntimeError as error:
            raise WeightsError(f"{path / WEIGHTS} does not match config.json; download the model again.") from error
    return generator.eval(), renderer.eval()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is missing or damaged; download the model again ({error}).") from error
    return config


def _configured(cls: type[T], config: Mapping[str, Any], key: str, path: Path) -> T:
    return build(cls, config.get(key), f"{path / 'config.json'}: {key}", WeightsError)
