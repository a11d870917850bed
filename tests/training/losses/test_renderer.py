"""The renderer's losses against values computed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lipsmith.face.landmarks import INNER_LIP, JAW, OUTER_LIP, ranks
from lipsmith.models.vgg import VGG
from lipsmith.training.losses.renderer import (
    MOUTH_RADIUS,
    MOUTH_WEIGHT,
    Comparison,
    face_mask,
    face_window,
    mouth_weight,
    pixel_loss,
    renderer_terms,
)


def test_pixels_near_the_mouth_weigh_more() -> None:
    points = torch.rand(1, 131, 2)
    points[:, ranks(OUTER_LIP + INNER_LIP)] = torch.tensor([0.625, 0.875])
    weight = mouth_weight(points, 4)
    assert weight.shape == (1, 1, 4, 4)
    assert weight[0, 0, 3, 2].item() == pytest.approx(1 + MOUTH_WEIGHT)
    one_cell = 1 + MOUTH_WEIGHT * math.exp(-(0.25**2) / (2 * MOUTH_RADIUS**2))
    assert weight[0, 0, 3, 3].item() == pytest.approx(one_cell)
    assert weight[0, 0, 2, 2].item() == pytest.approx(one_cell)
    assert weight[0, 0, 0, 0].item() == pytest.approx(1, abs=1e-3)


def test_pixel_loss_is_a_weighted_mean_over_octaves() -> None:
    fake, real, weight = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    # A checkerboard of +-0.5 with weight 2 in the left half: visible at full resolution, zero at every lower one.
    fake[..., ::2, ::2] = fake[..., 1::2, 1::2] = 1
    real[...] = 0.5
    weight[..., :4] = 2
    assert pixel_loss(fake, real, weight).item() == pytest.approx(0.5 / 4)
    # A difference of 0.5 everywhere has equal weight in all of them.
    assert pixel_loss(real, 0 * real, weight).item() == pytest.approx(0.5)


def test_face_mask_is_the_area_within_the_jaw_line() -> None:
    angle = torch.linspace(-0.1, torch.pi + 0.1, len(JAW))
    points = torch.full((2, 131, 2), 0.6)
    points[0, ranks(JAW)] = torch.stack([0.5 + 0.3 * angle.cos(), 0.5 + 0.3 * angle.sin()], -1)
    # The other way round is the same face, mirrored.
    points[1, ranks(JAW)] = points[0, ranks(JAW)].flip(0)
    mask = face_mask(points, 64)
    assert mask.shape == (2, 1, 64, 64)
    assert torch.allclose(mask[0], mask[1], atol=1e-5)
    axis = (torch.arange(64) + 0.5) / 64
    radius = ((axis - 0.5) ** 2 + (axis[:, None] - 0.5) ** 2).sqrt()
    lower = (axis > 0.5)[:, None] & torch.ones(64, 64, dtype=torch.bool)
    assert mask[0, 0][lower & (radius < 0.27)].min() > 0.98
    assert mask[0, 0][lower & (radius > 0.36)].max() < 0.05


def test_the_face_window_is_the_lower_middle_of_the_crop() -> None:
    rows, columns = torch.meshgrid(torch.arange(12, 32), torch.arange(32), indexing="ij")
    window = face_window(torch.stack([rows, columns])[None])
    assert window.shape == (1, 2, 18, 24)
    assert (window[0, 0, 0, 0], window[0, 0, -1, -1]) == (14, 31)
    assert (window[0, 1, 0, 0], window[0, 1, -1, -1]) == (4, 27)
    moved = face_window(torch.stack([rows, columns])[None], (1, -3))
    assert moved.shape == (1, 2, 18, 24)
    assert (moved[0, 0, 0, 0], moved[0, 1, 0, 0]) == (13, 1)


def test_outside_the_face_losses_use_the_truth() -> None:
    truth, image = torch.zeros(1, 3, 20, 32), torch.ones(1, 3, 20, 32)
    face = torch.zeros(1, 1, 20, 32)
    face[..., 16:] = 1
    seen = Comparison(image, image, truth, face, face, None)
    assert seen.generated_face[..., :12].max() == 0
    assert seen.generated_face[..., 12:].min() == 1
    assert seen.true_face.max() == 0


def test_only_named_terms_are_computed_and_are_zero_for_the_truth() -> None:
    torch.manual_seed(0)
    truth = torch.rand(1, 3, 40, 64)
    vgg, weight = VGG("vgg16"), torch.ones(1, 1, 40, 64)
    names = ("pixel", "aligned_pixel", "warped", "content", "style")
    same = renderer_terms(Comparison(truth, truth, truth, weight, weight, vgg), names, None)
    assert {name: value.item() for name, value in same.items()} == dict.fromkeys(names, 0.0)
    aligned = renderer_terms(Comparison(truth, 1 - truth, truth, weight, weight, vgg), names, None)
    assert {name for name, value in aligned.items() if value > 0} == {"aligned_pixel", "warped"}


def test_vgg_sees_pictures_spread_over_the_batch() -> None:
    class Looking(VGG):
        seen: Tensor

        def forward(self, image: Tensor, stages: Sequence[int] = (1,)) -> list[Tensor]:
            self.seen = image.mean((1, 2, 3))
            return []

    truth = (torch.arange(8.0) / 8)[:, None, None, None].expand(8, 3, 40, 64)
    vgg, weight = Looking("vgg16"), torch.ones(8, 1, 40, 64)
    assert Comparison(truth, truth, truth, weight, weight, vgg, perceptual_share=0.25).of_truth == []
    torch.testing.assert_close(vgg.seen, torch.tensor([0.0, 0.5]))
