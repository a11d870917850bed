"""The sync loss against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig
from lipsmith.training.losses.expert import expert_loss


class Fixed(SyncNet):
    """A judge whose embeddings are given."""

    def __init__(self, mouth: Tensor, speech: Tensor) -> None:
        super().__init__(SyncNetConfig(height=4, width=8, mouth_widths=(4,), mel_widths=(4,), blocks=1, embedding=2))
        self.given = mouth, speech

    def forward(self, mouths: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        assert mouths.shape == (2, 5, 3, 4, 8)
        assert mel.shape == (2, 1, 80, 16)
        return self.given


def test_the_loss_is_the_log_of_half_the_cosine_plus_one() -> None:
    right = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    judge = Fixed(right, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    found = expert_loss(judge, torch.zeros(2, 5, 3, 16, 16), torch.zeros(2, 1, 80, 16))
    assert float(found) == pytest.approx(math.log(2) / 2)
    worst = expert_loss(Fixed(right, -right), torch.zeros(2, 5, 3, 16, 16), torch.zeros(2, 1, 80, 16))
    assert float(worst) == pytest.approx(-math.log(1e-4))
