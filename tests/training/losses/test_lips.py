"""The errors of lips against values computed by hand."""

from __future__ import annotations

import pytest
import torch

from lipsmith.face.landmarks import INNER_LIP, OUTER_LIP, TOUCHING
from lipsmith.training.losses.lips import gap_error, lip_error, lip_gaps, shut_as_asked

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


def test_lips_asked_shut_get_the_gaps_asked_for_and_stay_where_they_are() -> None:
    found, asked = torch.rand(2, 40, 2), torch.zeros(2, 40, 2)
    asked[0, POINTS.index(14), 1] = 0.5 * TOUCHING
    asked[1, POINTS.index(14), 1] = 1.5 * TOUCHING
    wanted = shut_as_asked(found, asked)
    assert torch.allclose(lip_gaps(wanted)[0], lip_gaps(asked)[0], atol=1e-6)
    inner = [POINTS.index(13), POINTS.index(14)]
    assert torch.allclose(wanted[0, inner].mean(0), found[0, inner].mean(0), atol=1e-6)
    assert torch.equal(wanted[0, : len(OUTER_LIP)], found[0, : len(OUTER_LIP)])
    assert torch.equal(wanted[1], found[1])
