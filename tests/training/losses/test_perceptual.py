"""Perceptual and style losses against values computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lipsmith.training.losses.perceptual import gram, perceptual_loss, style_loss


def layer(*rows: list[float]) -> Tensor:
    """Return features of one picture with a height of one; each row is a channel."""
    return torch.tensor(rows)[None, :, None]


def test_perceptual_loss_sums_the_layers_means() -> None:
    fake, real = [layer([1.0, 2.0]), layer([0.0])], [layer([1.0, 4.0]), layer([3.0])]
    assert perceptual_loss(fake, real).item() == pytest.approx(1 + 3)


def test_gram_is_the_correlation_of_channels() -> None:
    features = layer([1.0, 2.0], [3.0, 0.0])
    expected = torch.tensor([[[5.0, 3.0], [3.0, 9.0]]]) / (2 * 2)
    torch.testing.assert_close(gram(features), expected)


def test_style_loss_ignores_positions() -> None:
    picture, turned, flat = layer([1.0, 2.0]), layer([2.0, 1.0]), layer([1.0, 1.0])
    assert style_loss([picture], [turned]).item() == 0
    assert style_loss([picture], [flat]).item() == pytest.approx((5 - 2) / 2)
