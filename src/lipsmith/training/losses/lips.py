"""The error of lips found in a picture: of their points, and of the gaps between upper and lower lip."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from lipsmith.face.landmarks import INNER_LIP, LOWER_INNER, OUTER_LIP, TOUCHING, UPPER_INNER, ranks

LIPS: Final = ranks(OUTER_LIP + INNER_LIP)
"""Indices of the outer and inner lip among the 131 points."""
_UPPER, _LOWER = ([LIPS.index(rank) for rank in ranks(side)] for side in (UPPER_INNER, LOWER_INNER))
_MIDDLE: Final = 4  # of the nine gaps


def lip_error(found: Tensor, asked: Tensor) -> Tensor:
    """Mean absolute error of coordinates of the outer and inner lip `(B, 40, 2)`, in their unit."""
    return (found - asked).abs().mean()


def gap_error(found: Tensor, asked: Tensor) -> Tensor:
    """Mean absolute error of the nine vertical gaps between the inner lips, of points as in `lip_error`."""
    return (lip_gaps(found) - lip_gaps(asked)).abs().mean()


def lip_gaps(lips: Tensor) -> Tensor:
    """How far the lower inner lip lies under the upper, `(..., 9)`, of points `(..., 40, 2)`."""
    return lips[..., _LOWER, 1] - lips[..., _UPPER, 1]


def shut_as_asked(lips: Tensor, asked: Tensor) -> Tensor:
    """Lips `(B, 40, 2)` with the gaps of `asked` `(B, 40, 2)` where these are shut, otherwise unchanged.

    In one of eight frames of shut lips, detectors find them open, and a renderer that is to match what they find learns
    to leave lips open.
    """
    gaps = lip_gaps(asked)
    shut = gaps[:, _MIDDLE, None] < TOUCHING
    closing = torch.where(shut, (lip_gaps(lips) - gaps) / 2, 0)
    moved = lips.clone()
    moved[:, _UPPER, 1] += closing
    moved[:, _LOWER, 1] -= closing
    return moved
