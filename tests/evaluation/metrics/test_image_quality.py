"""PSNR, SSIM and sharpness: by hand, against a reference, and with known degradations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from harmed_pictures import Crops, blurred, noisy, textured
from lipsmith.evaluation.metrics.image_quality import psnr, sharpness, ssim

HARMS = {"blur": blurred, "noise": noisy}


def test_psnr_by_hand() -> None:
    """One gray level everywhere: 20 log10 255."""
    black = np.zeros((1, 4, 4, 3), np.uint8)
    assert psnr(black + 1, black)[0] == pytest.approx(48.1308, abs=1e-4)


def test_equal_pictures_have_the_psnr_of_one_value_off_by_one() -> None:
    black = np.zeros((2, 4, 4, 3), np.uint8)
    nearly = black.copy()
    nearly[0, 0, 0, 0] = 1
    best = 20 * np.log10(255) + 10 * np.log10(4 * 4 * 3)
    np.testing.assert_allclose(psnr(nearly, black), [best, best])


@given(arrays(np.uint8, (1, 11, 11, 3)), arrays(np.uint8, (1, 11, 11, 3)))
@settings(max_examples=20)
def test_pictures_against_themselves_are_perfect_and_order_does_not_matter(a: Crops, b: Crops) -> None:
    assert psnr(a, b)[0] == psnr(b, a)[0]
    assert ssim(a, b)[0] == pytest.approx(ssim(b, a)[0])
    assert ssim(a, a)[0] == pytest.approx(1)
    assert -1 <= ssim(a, b)[0] <= 1 + 1e-9


def test_ssim_equals_the_published_implementation() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure as reference

    a, b = textured(3), noisy(textured(3), 20)
    planes = [torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255 for images in (a, b)]
    theirs: Any = reference(planes[0], planes[1], data_range=1.0, reduction="none", sigma=1.5)
    np.testing.assert_allclose(ssim(a, b), theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize("harm", HARMS)
def test_stronger_degradations_score_lower(harm: str) -> None:
    real = textured()
    little, much = HARMS[harm](real, 2), HARMS[harm](real, 6)
    assert (psnr(real, little) > psnr(real, much)).all()
    assert (ssim(real, little) > ssim(real, much)).all()


def test_sharpness_falls_with_blur() -> None:
    real = textured()
    assert (sharpness(blurred(real, 2)) < sharpness(real)).all()
