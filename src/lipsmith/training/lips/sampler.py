"""Holds the crops and points of all clips on the device, and draws mouths, moved and relit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lipsmith.data.clips import ClipRecord, load_clip, read_manifest
from lipsmith.face.landmarks import MIRROR
from lipsmith.models.lip_detector import cut_windows
from lipsmith.training.losses.lips import LIPS
from lipsmith.training.store import end_to_end, make_spans, pick, read_ahead

_MIRRORED_LIPS: Final = [LIPS.index(MIRROR[place]) for place in LIPS]


@dataclass(frozen=True)
class Mouths:
    """B windows around mouths."""

    windows: Tensor
    """(B, 3, h, w), about [0, 1]."""
    points: Tensor
    """(B, 40, 2) crop units from the window's middle."""


class MouthFootage:
    """Crops of the clips of a split. Raises InputError if it has none."""

    def __init__(self, root: Path, split: str, device: torch.device) -> None:
        self.records = read_manifest(root, split)
        lengths = [record.frames for record in self.records]
        self.spans = make_spans(lengths, [record.identity for record in self.records], device)
        tensors = end_to_end(read_ahead(partial(_load, root), self.records), sum(lengths), device)
        self.crops, self.lips = tensors["crops"], tensors["lips"]

    def draw(self, count: int, size: tuple[int, int], random: torch.Generator) -> Mouths:
        """`count` augmented windows of `size`, of one frame each of as many clips."""
        clips = self.spans.draw(count, random)
        return self.mouths(pick(self.spans.first[clips], self.spans.length[clips], 1, random)[:, 0], size, random)

    def mouths(self, frames: Tensor, size: tuple[int, int], random: torch.Generator | None = None) -> Mouths:
        """Windows of frames `(B,)`, with `random` mirrored, turned, scaled, moved, relit, blurred and noisy."""
        crops = rearrange(self.crops[frames], "b h w c -> b c h w").float() / 255
        lips = self.lips[frames]
        center = lips.mean(1)
        if random is None:
            return Mouths(cut_windows(crops, center, _turns(lips, 0, 0, 1), size), lips - center[:, None])
        noise = partial(torch.randn, len(frames), device=frames.device, generator=random)
        mirrored = torch.rand(len(frames), device=frames.device, generator=random) < 0.5
        turns = _turns(lips, 0.1 * noise(), 0.1 * noise(), torch.where(mirrored, -1.0, 1.0))
        center = center + 0.025 * torch.stack([noise(), noise()], 1).clamp(-2, 2)
        points = (lips - center[:, None]) @ torch.linalg.inv(turns).mT
        points = torch.where(mirrored[:, None, None], points[:, _MIRRORED_LIPS], points)
        return Mouths(_altered(cut_windows(crops, center, turns, size), random), points)


def _turns(lips: Tensor, angle: Tensor | float, zoom: Tensor | float, sign: Tensor | float) -> Tensor:
    """Maps `(B, 2, 2)` that turn by `angle`, scale by e^`zoom` and mirror where `sign` is -1."""
    one = lips.new_ones(len(lips))
    cos, sin = torch.exp(zoom * one) * torch.cos(angle * one), torch.exp(zoom * one) * torch.sin(angle * one)
    return torch.stack([torch.stack([sign * cos, -sin], 1), torch.stack([sign * sin, cos], 1)], 1)


def _altered(windows: Tensor, random: torch.Generator) -> Tensor:
    """Windows in another light and color, partly blurred or noisy."""
    shape = (len(windows), 1, 1, 1)
    normal = partial(torch.randn, device=windows.device, generator=random)
    gain = torch.exp(0.15 * normal(shape) + 0.07 * normal(len(windows), 3, 1, 1))
    lit = windows.clamp_min(1e-4) ** torch.exp(0.2 * normal(shape)) * gain
    soft = F.avg_pool2d(F.pad(lit, (1, 1, 1, 1), "replicate"), 3, 1)
    share = torch.rand(shape, device=windows.device, generator=random) * 2 - 1
    blurred = torch.lerp(lit, soft, share.clamp_min(-0.5))  # below zero: sharpened
    noise = 0.02 * torch.rand(shape, device=windows.device, generator=random)
    return (blurred + noise * normal(windows.shape)).clamp(0, 1)


def _load(root: Path, record: ClipRecord) -> dict[str, NDArray[Any]]:
    clip = load_clip(root, record)
    assert clip.images is not None
    return {"crops": clip.images, "lips": clip.landmarks[:, LIPS].astype(np.float32)}
