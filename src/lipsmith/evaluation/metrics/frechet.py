"""Fréchet distance between two sets of pictures in the features of a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Mean and covariance of features, accumulated batch by batch, so memory does not grow with the film."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._sum = np.zeros(width)
        self._products = np.zeros((width, width))

    def add(self, features: NDArray[np.float64]) -> None:
        """Add features `(B, width)`."""
        self.count += len(features)
        self._sum += features.sum(0)
        self._products += features.T @ features

    @property
    def mean(self) -> NDArray[np.float64]:
        """`(width,)`."""
        return self._sum / self.count

    @property
    def covariance(self) -> NDArray[np.float64]:
        """`(width, width)`, unbiased."""
        mean = self.mean
        return (self._products - self.count * np.outer(mean, mean)) / (self.count - 1)


def frechet(a: Moments, b: Moments) -> float:
    """Frechet distance, lower is better, at least 0: |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    Heusel et al., "GANs trained by a two time-scale update rule" (2017), equation 6. It is called FID only with the
    Inception network; figures of different networks do not compare. NaN for fewer than two pictures.
    """
    if min(a.count, b.count) < 2:
        return float("nan")
    root = _root(a.covariance)
    # The eigenvalues of C_a C_b are those of the symmetric R C_b R, R the root of C_a.
    cross = np.linalg.eigvalsh(root @ b.covariance @ root)
    shared = np.sqrt(np.maximum(cross, 0)).sum()
    shift = np.square(a.mean - b.mean).sum()
    return float(max(0.0, shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared))


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root
