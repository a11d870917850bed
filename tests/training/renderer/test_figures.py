"""Figures of a validation, worked out by hand."""

from __future__ import annotations

from math import log10

import pytest
import torch
from torch import nn

from lipsmith.training.renderer.batch import Inputs
from lipsmith.training.renderer.figures import measure
from lipsmith.training.renderer.sampler import Batch, Pictures


class Gray(nn.Module):
    """Renders 0.5, from aligned references of 0.25."""

    def forward(self, given: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.full((2, 3, 32, 32), 0.5)
        image[:, :, :16] = given.images.flatten(0, 1)[:, :, :16]
        return image, torch.full((2, 3, 20, 32), 0.25)


def black() -> Batch:
    """Two black targets."""
    points = torch.rand(1, 2, 131, 2, generator=torch.Generator().manual_seed(0))
    images = torch.zeros(1, 2, 3, 32, 32)
    targets = Pictures(images, torch.zeros(1, 2, 5, 32, 32), points, points, torch.zeros(1, 2, 2, 2))
    return Batch(targets, targets, targets, torch.zeros(1, 2, 1, 80, 16), torch.zeros(1, 2, 2, dtype=torch.long))


def test_psnr_is_that_of_the_whole_crop() -> None:
    figures = measure(Gray(), [black()], ["anna"], 12, None)
    assert figures["psnr"] == pytest.approx(-10 * log10(0.5**2 / 2), abs=1e-4)
    assert figures["aligned_psnr"] == pytest.approx(-10 * log10(0.25**2 / 2), abs=1e-4)


def test_blur_and_lips_beside_the_truth_lower_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"face_psnr": 30.0, "sharpness": 0.75, "vgg": 0.5, "lips": 2.0, "gaps": 1.0}
    monkeypatch.setattr("lipsmith.training.renderer.figures._row", lambda comparison: found)
    figures = measure(Gray(), [black()], ["anna"], 12, None)
    assert figures["score"] == pytest.approx(30 - 8 * 0.5 - 2 * 0.25 - 2 - 1)
