"""Monochrome footage is told from color, and pictures take its tone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face.look import tone_of, toned

Images = NDArray[np.uint8]


def crops(color: tuple[float, float, float], noise: float) -> Images:
    """Return crops `(4, 64, 64, 3)`: gray patterns times a color, with noise in every channel."""
    random = np.random.default_rng(0)
    shades = random.uniform(20, 220, (4, 64, 64, 1))
    return np.clip(shades * color + random.normal(0, noise, (4, 64, 64, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("color", [(1.0, 1.0, 1.0), (1.05, 0.9, 0.7), (0.6, 0.9, 1.0)])
def test_pictures_take_the_tone_of_monochrome_footage(color: tuple[float, float, float]) -> None:
    images = crops(color, 0.7)
    tone = tone_of(images)
    assert tone is not None
    tinted = images[0].copy()
    tinted[..., 1] = np.clip(tinted[..., 1] + 12.0, 0, 255)
    ratio = toned(tinted, tone).reshape(-1, 3).astype(float).sum(0)
    assert ratio / ratio[0] == pytest.approx(np.array(color) / color[0], abs=0.02)
    assert np.abs(toned(images[0], tone).astype(float) - images[0]).mean() < 1


def test_brightness_is_kept() -> None:
    tone = tone_of(crops((1.0, 1.0, 1.0), 0))
    assert tone is not None
    found = toned(np.array([[[200, 100, 50]]], np.uint8), tone)
    assert found.ravel().tolist() == [124, 124, 124]


def test_pale_color_is_not_monochrome() -> None:
    images = crops((1.0, 0.98, 0.95), 0)
    images[:, :32, :, 0] = np.minimum(images[:, :32, :, 0] + 9.0, 255).astype(np.uint8)
    assert tone_of(images) is None
