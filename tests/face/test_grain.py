"""The noise of a film, and the grain that rendered mouths get."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face.look import Grain, noise_level


@pytest.mark.parametrize("level", [3, 12])
def test_noise_is_measured_and_matched(level: float) -> None:
    rng = np.random.default_rng(1)
    clean = np.full((120, 140, 3), 128, np.uint8)
    noisy = np.clip(clean + rng.normal(0, level, clean.shape[:2])[..., None], 0, 255).round().astype(np.uint8)
    assert noise_level(clean) == 0
    assert noise_level(noisy) == pytest.approx(level, rel=0.15)
    assert Grain().missing(clean.astype(np.float32), noisy).std() == pytest.approx(level, rel=0.2)
    assert not Grain().missing(noisy.astype(np.float32), clean).any()
    calmer = (clean + 0.6 * (noisy.astype(np.float32) - clean)).astype(np.float32)
    assert Grain().missing(calmer, noisy).std() == pytest.approx(0.8 * level, rel=0.25)
    assert noise_level(clean[:2]) == 0


def test_grain_moves_and_changes_slowly_and_has_a_limit() -> None:
    rng, clean = np.random.default_rng(1), np.full((90, 100, 3), 128, np.float32)

    def noisy(level: float) -> NDArray[np.uint8]:
        return np.clip(clean + rng.normal(0, level, (90, 100, 1)), 0, 255).astype(np.uint8)

    grain = Grain()
    first, second = grain.missing(clean, noisy(10)), grain.missing(clean, noisy(10))
    assert first.std() == pytest.approx(second.std(), rel=0.1)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1
    later = [grain.missing(clean, noisy(2)).std() for _ in range(40)]
    assert later[0] > 8
    assert max(np.abs(np.diff(later))) < 4
    assert later[-1] < 4
    assert Grain().missing(clean, noisy(40)).std() == pytest.approx(16, rel=0.1)


def test_grain_covers_faces_larger_than_its_tile() -> None:
    drawn = np.full((560, 900, 3), 128, np.float32)
    noise = np.random.default_rng(0).normal(0, 9, (560, 900, 1))
    found = Grain().missing(drawn, np.clip(drawn + noise, 0, 255).astype(np.uint8))
    assert found.shape == drawn.shape
    assert found[-50:, -50:].std() == pytest.approx(9, rel=0.2)
