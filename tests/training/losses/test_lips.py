"""The errors of lips against values computed by hand."""

from __future__ import annotations

import pytest
import torch

from lipsmith.face.landmarks import INNER_LIP, OUTER_LIP
from lipsmith.training.losses.lips import gap_error, lip_error, lip_gaps

POINTS = OUTER_LIP + INNER_LIP


def test_a_shift_is_an_error_of_lips_but_not_of_gaps() -> None:
    asked = torch.rand(2, 40, 2)
    moved = asked + torch.tensor([0.02, 0.04])
    assert lip_error(moved, asked).item() == pytest.approx(0.03, abs=1e-6)
    assert gap_error(moved, asked).item() == pytest.approx(0, abs=1e-6)


def test_a_gap_is_how_far_the_lower_lip_lies_under_the_upper() -> None:
    lips = torch.zeros(1, 40, 2)
    lips[0, POINTS.index(14), 1] = 0.09
    gaps = lip_gaps(lips)
    assert gaps.shape == (1, 9)
    assert gaps[0, 4].item() == pytest.approx(0.09)  # 14 lies under 13, the middle of the upper inner lip
    assert gaps.abs().sum().item() == pytest.approx(0.09)
    assert gap_error(lips, torch.zeros(1, 40, 2)).item() == pytest.approx(0.01)
