"""From rows per clip to one figure a system, with what chance may have made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

METRICS: Final = (
    *("psnr", "ssim", "lpips_alex", "lpips_vgg", "lip_lmd", "lse_d", "lse_c"),
    *("csim", "jitter", "sharpness", "fps"),
)
"""Figures that are means over clips."""
RESAMPLES: Final = 1000

Row = dict[str, Any]


def totals(rows: Sequence[Row], system: str) -> dict[str, float]:
    """Mean over a system's clips of every figure that it has."""
    own = [row for row in rows if row["system"] == system]
    return {metric: float(np.mean(values)) for metric in METRICS if len(values := _values(own, metric))}


def intervals(rows: Sequence[Row], system: str, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % confidence intervals of `totals`, by bootstrap over identities: another draw of people, not of frames.

    One person tells nothing of the spread: such figures have none.
    """
    found = {}
    for metric in METRICS:
        own = [row for row in rows if row["system"] == system and _known(row, metric)]
        people = np.array([row["identity"] for row in own])
        if len(set(people)) > 1:
            found[metric] = interval(np.array([row[metric] for row in own]), people, seed)
    return found


def interval(values: NDArray[np.float64], groups: NDArray[np.str_], seed: int = 0) -> tuple[float, float]:
    """2.5th and 97.5th percentile of the mean of `values` `(n,)` when whole `groups` `(n,)` are drawn again.

    NaN where a value is infinite (equal pictures): their mean has no spread.
    """
    if not np.isfinite(values).all():
        return float("nan"), float("nan")
    _, member = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(member, weights=values), np.bincount(member)
    draws = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _values(rows: Sequence[Row], metric: str) -> list[float]:
    return [row[metric] for row in rows if _known(row, metric)]


def _known(row: Row, metric: str) -> bool:
    return metric in row and row[metric] is not None and not np.isnan(row[metric])
