"""Augments geometry and light of a batch on the device: the same for a clip, plus a small variation per picture.

Identity is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from lipsmith.face.landmarks import MIRROR
from lipsmith.training.renderer.sampler import Batch, Pictures

UNMOVED_SHARE: Final = 0.6
"""Share of the clips whose pixels are at most mirrored: rotated and scaled pictures are resampled and thus slightly
blurred, and a network that never gets a sharp truth learns to blur."""


@dataclass(frozen=True)
class Similarity:
    """The map for sampling a picture: p_in = center + matrix (p_out - center) + shift, crop units."""

    matrix: Tensor
    """(..., 2, 2)."""
    shift: Tensor
    """(..., 2)."""


def augment(batch: Batch, generator: torch.Generator) -> Batch:
    """Augment by mirror, rotation, scale and shift, and by exposure, contrast and color."""
    clips, device = batch.mel.shape[0], generator.device
    mirrored = torch.rand(clips, device=device, generator=generator) < 0.5
    moved = (torch.rand(clips, 1, device=device, generator=generator) >= UNMOVED_SHARE).float()
    turn, zoom, shift = torch.split(moved * _normal(generator, clips, 4), [1, 1, 2], dim=-1)
    light = _light(generator, clips)
    changed = []
    for group in (batch.pool, batch.lips, batch.targets):
        count = group.images.shape[1]
        jitter = moved[..., None] * _normal(generator, clips, count, 4)
        similarity = _similarity(
            angle=0.06 * turn[..., None, 0] + 0.006 * jitter[..., 0],
            zoom=0.05 * zoom[..., None, 0] + 0.006 * jitter[..., 1],
            shift=0.02 * shift[:, None] + 0.003 * jitter[..., 2:],
            mirrored=mirrored,
        )
        lit = _lit(group.images, light, 0.15 * _light(generator, clips, count))
        changed.append(_moved(replace(group, images=lit), similarity, mirrored))
    pool, lips, targets = changed
    return replace(batch, pool=pool, lips=lips, targets=targets)


def _similarity(angle: Tensor, zoom: Tensor, shift: Tensor, mirrored: Tensor) -> Similarity:
    cos, sin = torch.exp(zoom) * torch.cos(angle), torch.exp(zoom) * torch.sin(angle)
    matrix = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    sign = torch.where(mirrored, -1.0, 1.0)
    flip = torch.stack([sign, torch.ones_like(sign)], -1)
    return Similarity(matrix * flip[:, None, None], shift)


def _moved(pictures: Pictures, similarity: Similarity, mirrored: Tensor) -> Pictures:
    count, (channels, size) = pictures.images.shape[1], pictures.images.shape[2:4]
    theta = torch.cat([similarity.matrix, 2 * similarity.shift[..., None]], -1)
    stacked = torch.cat([pictures.images, pictures.sketches], 2).flatten(0, 1)
    grid = F.affine_grid(theta.flatten(0, 1), [len(stacked), 1, size, size], align_corners=False)
    sampled = F.grid_sample(stacked, grid, padding_mode="border", align_corners=False)
    sampled = rearrange(sampled, "(b n) c h w -> b n c h w", n=count)
    inverse = torch.linalg.inv(similarity.matrix).transpose(-1, -2)
    points, shown, still = (
        0.5 + (x - 0.5 - similarity.shift[..., None, :]) @ inverse
        for x in (pictures.points, pictures.shown, pictures.still)
    )
    points, shown = (torch.where(mirrored[:, None, None, None], x[..., MIRROR, :], x) for x in (points, shown))
    return Pictures(sampled[:, :, :channels], sampled[:, :, channels:], points, shown, still)


def _light(generator: torch.Generator, *shape: int) -> Tensor:
    """Log-gains of the three colors and of the contrast, `(..., 4)`."""
    common, contrast, colors = torch.split(_normal(generator, *shape, 5), [1, 1, 3], dim=-1)
    return torch.cat([0.12 * common + 0.05 * colors, 0.12 * contrast], -1)


def _lit(images: Tensor, light: Tensor, own: Tensor) -> Tensor:
    total = (light[:, None] + own)[..., None, None]
    gain, gamma = total[..., :3, :, :].exp(), total[..., 3:, :, :].exp()
    return (images.clamp_min(1e-4) ** gamma * gain).clamp(0, 1)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, device=generator.device, generator=generator).clamp(-2.5, 2.5)
