"""The lip detector's windows, and what it says where."""

from __future__ import annotations

import pytest
import torch

from lipsmith.models.lip_detector import SPAN, LipDetector, LipDetectorConfig, cut_windows

TINY = LipDetectorConfig(width=16, widths=(4, 8), hidden=8)


def ramps(size: int) -> torch.Tensor:
    """A crop whose first two channels are x and y in crop units."""
    axis = (torch.arange(size) + 0.5) / size
    return torch.stack([axis.expand(size, size), axis[:, None].expand(size, size), torch.zeros(size, size)])[None]


def test_a_window_shows_the_crop_round_its_center() -> None:
    window = cut_windows(ramps(128), torch.tensor([[0.5, 0.7]]), torch.eye(2)[None], (48, 64))
    assert window.shape == (1, 3, 48, 64)
    across, down = SPAN[0] / 64, SPAN[1] / 48
    assert window[0, 0, 7, 0].item() == pytest.approx(0.5 - SPAN[0] / 2 + across / 2, abs=1e-5)
    assert window[0, 1, 0, 7].item() == pytest.approx(0.7 - SPAN[1] / 2 + down / 2, abs=1e-5)
    assert window[0, 1, -1, 7].item() == pytest.approx(0.7 + SPAN[1] / 2 - down / 2, abs=1e-5)


def test_a_window_can_be_turned_and_scaled() -> None:
    quarter = 0.5 * torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])
    window = cut_windows(ramps(128), torch.tensor([[0.5, 0.6]]), quarter, (48, 64))
    x, y = (torch.tensor([63.5, 0.5]) / torch.tensor([64, 48]) - 0.5) * torch.tensor(SPAN)
    assert window[0, 0, 0, -1].item() == pytest.approx(0.5 - 0.5 * y.item(), abs=1e-5)
    assert window[0, 1, 0, -1].item() == pytest.approx(0.6 + 0.5 * x.item(), abs=1e-5)


def test_lips_are_found_where_the_window_is() -> None:
    torch.manual_seed(0)
    network = LipDetector(TINY).eval()
    crop = torch.rand(1, 3, 64, 64)
    moved = torch.roll(crop, 8, 3)
    there, here = network.detect(moved, torch.tensor([[0.625, 0.6]])), network.detect(crop, torch.tensor([[0.5, 0.6]]))
    assert there.shape == (1, 40, 2)
    assert torch.allclose(there - here, torch.tensor([0.125, 0.0]), atol=1e-4)


def test_the_picture_gets_a_gradient() -> None:
    crop = torch.rand(2, 3, 32, 32, requires_grad=True)
    LipDetector(TINY).eval().detect(crop, torch.full((2, 2), 0.6)).square().sum().backward()
    assert crop.grad is not None
    assert crop.grad.abs().sum() > 0
