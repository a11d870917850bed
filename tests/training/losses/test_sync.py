"""Contrastive losses against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lipsmith.training.losses.sync import batch_loss, curve, shift_loss, shifts, stretch_loss


def test_shifts_count_frames_from_the_window_in_sync() -> None:
    assert shifts(2, 4, torch.device("cpu")).tolist() == [[-1, 0, 1, 2], [-2, -1, 0, 1]]


def test_curve_is_the_mean_along_diagonals() -> None:
    similarity = torch.arange(8.0).reshape(1, 2, 4)
    mean, count = curve(similarity, torch.ones(1, 4, dtype=torch.bool), 1)
    assert mean.tolist() == [[(0 + 5) / 2, (1 + 6) / 2, (2 + 7) / 2]]
    assert count.tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("lag", [0, 3])
def test_losses_are_smallest_in_sync(lag: int) -> None:
    """A judge that is certain of the truth has a small loss; one that is certain of another time has a large one."""
    mouth = torch.eye(30)[:20][None]
    speech = torch.eye(30)[(torch.arange(-5, 25) + lag).clamp(0, 29)][None]
    valid = torch.ones(1, 30, dtype=torch.bool)
    valid[0, :5] = False
    scale = torch.tensor(30.0)
    loss = float(stretch_loss(mouth @ speech.mT, valid, scale, 1) + shift_loss(mouth @ speech.mT, valid, scale, 5, 1))
    assert loss < 1e-6 if lag == 0 else loss > 10


def test_batch_loss_by_hand() -> None:
    """Two orthogonal pairs at scale log 3: each row is (3, 1) / 4."""
    pairs = torch.eye(2)
    assert float(batch_loss(pairs, pairs, torch.log(torch.tensor(3.0)))) == pytest.approx(np.log(4 / 3), abs=1e-6)
