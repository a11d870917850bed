"""The Frechet distance of Gaussians by hand, and their moments."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.evaluation.metrics.frechet import Moments, frechet


def moments(values: NDArray[np.float64]) -> Moments:
    found = Moments(values.shape[1])
    for part in np.array_split(values, 3):
        found.add(part)
    return found


def test_frechet_of_gaussians_by_hand() -> None:
    """Diagonal covariances: sum of (m - m')^2 + (s - s')^2."""
    base = np.random.default_rng(0).normal(size=(500, 3))
    base = (base - base.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T)).T)
    other = base * (2, 1, 3) + (1, 0, 0)
    assert frechet(moments(base), moments(other)) == pytest.approx(1 + 1 + 0 + 4, abs=1e-6)
    assert frechet(moments(base), moments(base)) == pytest.approx(0, abs=1e-6)


def test_moments_equal_numpys() -> None:
    values = np.random.default_rng(2).normal(size=(40, 4))
    np.testing.assert_allclose(moments(values).covariance, np.cov(values.T))


def test_frechet_of_one_picture_is_nan() -> None:
    assert np.isnan(frechet(moments(np.ones((1, 2))), moments(np.ones((4, 2)))))
