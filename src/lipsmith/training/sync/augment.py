"""Augments stretches of footage without changing the sync of lips and speech."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional


def augment_mouths(frames: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Frames `(B, T, 3, H, W)` in [0, 1] to `(B, T, 3, h, w)`: mirrored, transformed, relit, blurred and partly
    covered, consistently through a stretch."""
    batch, length = frames.shape[:2]
    theta = _similarity(batch, frames.shape[-1] / frames.shape[-2], generator)
    theta = repeat(theta, "b i j -> (b t) i j", t=length).clone()
    theta[:, :, 2] += 0.01 * _normal((len(theta), 2), generator)
    flat = rearrange(frames, "b t c h w -> (b t) c h w")
    grid = functional.affine_grid(theta, [len(flat), 3, *size], align_corners=False)
    moved = functional.grid_sample(flat, grid, mode="bilinear", padding_mode="border", align_corners=False)
    moved = _relit(rearrange(moved, "(b t) c h w -> b t c h w", t=length), generator)
    return _hidden(_blurred(moved, generator), generator).clamp(0, 1)


def augment_mel(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Mel windows `(B, A, 80, 16)` in [-4, 4] with changed level, spectral tilt, noise and pitch, and masked bands."""
    batch, bands = mel.shape[0], mel.shape[2]
    device = mel.device
    move = torch.randint(-3, 4, (batch, 1), device=device, generator=generator)
    source = (torch.arange(bands, device=device) + move).clamp(0, bands - 1)
    index = source[:, None, :, None].expand(-1, mel.shape[1], -1, mel.shape[3])
    mel = mel.gather(2, index)
    gain = 0.4 * _normal((batch, 1, 1, 1), generator)
    tilt = 0.5 * _normal((batch, 1, 1, 1), generator) * torch.linspace(-1, 1, bands, device=device)[:, None]
    floor = -4 + 2.5 * _uniform((batch, 1, 1, 1), generator) ** 2
    noise = 0.15 * _normal(mel.shape, generator)
    mel = torch.maximum(mel + gain + tilt, floor) + noise
    return mel.masked_fill(_band_mask(batch, bands, device, generator), -4).clamp(-4, 4)


def _band_mask(batch: int, bands: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """Mask `(B, 1, 80, 1)` of two runs of up to twelve bands."""
    start = torch.randint(0, bands, (2, batch, 1), device=device, generator=generator)
    width = torch.randint(0, 13, (2, batch, 1), device=device, generator=generator)
    band = torch.arange(bands, device=device)
    return ((band >= start) & (band < start + width)).any(0)[:, None, :, None]


def _similarity(batch: int, aspect: float, generator: torch.Generator) -> Tensor:
    """Affine maps `(B, 2, 3)` for `affine_grid`: mirror, 6 degrees, 12 % in scale, 5 % in place."""
    angle = 0.07 * _normal((batch,), generator)
    scale = torch.exp(0.07 * _normal((batch,), generator))
    mirror = torch.where(_uniform((batch,), generator) < 0.5, -1.0, 1.0)
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    shift = 0.05 * _normal((batch, 2), generator)
    row_x = torch.stack([mirror * cosine, -sine / aspect, shift[:, 0]], -1)
    row_y = torch.stack([mirror * sine * aspect, cosine, shift[:, 1]], -1)
    return torch.stack([row_x, row_y], 1)


def _relit(frames: Tensor, generator: torch.Generator) -> Tensor:
    shape = (len(frames), 1, 1, 1, 1)
    gray = frames.mean(2, keepdim=True)
    color = _uniform(shape, generator) * 1.2
    tint = 1 + 0.1 * _normal((len(frames), 1, 3, 1, 1), generator)
    contrast = torch.exp(0.25 * _normal(shape, generator))
    light = 0.12 * _normal(shape, generator)
    frames = (gray + color * (frames - gray)) * tint
    mean = frames.mean((1, 2, 3, 4), keepdim=True)
    noise = 0.02 * _normal(frames.shape, generator)
    return (frames - mean) * contrast + mean + light + noise * _uniform(shape, generator)


def _blurred(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Frames blended with their 3x3 mean, to simulate softer cameras and encoders."""
    flat = rearrange(frames, "b t c h w -> (b t) c h w")
    soft = functional.avg_pool2d(functional.pad(flat, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = (_uniform((len(frames), 1, 1, 1, 1), generator) * 2 - 1).clamp(min=0)
    return torch.lerp(frames, rearrange(soft, "(b t) c h w -> b t c h w", b=len(frames)), share)


def _hidden(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Frames with a gray rectangle of up to a third of each side, to simulate a microphone, a hand or a caption."""
    batch, height, width = len(frames), frames.shape[-2], frames.shape[-1]
    corner = _uniform((batch, 2), generator)
    extent = _uniform((batch, 2), generator) / 3
    rows = torch.arange(height, device=frames.device) / height
    columns = torch.arange(width, device=frames.device) / width
    in_rows = (rows >= corner[:, :1]) & (rows < corner[:, :1] + extent[:, :1])
    in_columns = (columns >= corner[:, 1:]) & (columns < corner[:, 1:] + extent[:, 1:])
    mask = in_rows[:, :, None] & in_columns[:, None]
    return frames.masked_fill(mask[:, None, None], 0.5)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, device=generator.device, generator=generator)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, device=generator.device, generator=generator)
