"""Distances between VGG features: content (L_w, L_r) and style (L_s), section 3.2.3."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def perceptual_loss(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean absolute difference between features `(B, C, H, W)`."""
    return torch.stack([F.l1_loss(f, r) for f, r in zip(fake, real, strict=True)]).sum()


def gram(features: Tensor) -> Tensor:
    """f f^T / (h w c): correlations `(B, C, C)` between the channels of `(B, C, H, W)`."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (features.shape[1] * flat.shape[2])


def style_loss(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean absolute difference between Gram matrices."""
    return torch.stack([F.l1_loss(gram(f), gram(r)) for f, r in zip(fake, real, strict=True)]).sum()
