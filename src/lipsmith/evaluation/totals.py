"""Aggregates rows per clip to figures per system, with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import counted
from lipsmith.evaluation.metrics.articulation import CLOSENESS
from lipsmith.evaluation.metrics.closure import GROUPS
from lipsmith.evaluation.metrics.regions import FACE, MOUTH

MEDIANS: Final = ("obedience.slope", "obedience.rest", "obedience.width_slope", "obedience.width_rest")
"""Figures aggregated by medians over clips, because a line through lips that hardly move may have any slope."""
WEIGHTS: Final = {"obedience.shut": "obedience.asked_shut", **{name: f"{name}_events" for name in GROUPS}}
"""Figures that are means over a number of frames or phonemes of each clip, which another figure gives."""
REGIONAL: Final = ("psnr", "ssim", "lpips_alex", "sharpness", "flicker")
"""Figures of a region of the face."""
METRICS: Final = (
    *("psnr", "ssim", "lpips_alex", "lpips_vgg", "lip_lmd", "lse_d", "lse_c"),
    *("csim", "jitter", "sharpness", "fps", "opening_r", "amplitude"),
    *(*MEDIANS, *WEIGHTS, *CLOSENESS.values()),
    *(f"{part}.{figure}" for part in (FACE, MOUTH) for figure in REGIONAL),
)
"""All figures; those not listed above are means over clips."""
RESAMPLES: Final = 1000

Row = dict[str, Any]


def totals(rows: Sequence[Row], system: str) -> dict[str, float]:
    """Mean or median of every figure over a system's clips."""
    own = [row for row in rows if row["system"] == system]
    return {metric: _total(known, metric) for metric in METRICS if (known := _known(own, metric))}


def sample(rows: Sequence[Row]) -> str:
    """How much the rows measure, for a table's title: `24 clips of 16 people`."""
    clips, people = (len({row[key] for row in rows}) for key in ("clip", "identity"))
    return f"{counted(clips, 'clip')} of {counted(people, 'person', 'people')}"


def intervals(rows: Sequence[Row], system: str) -> dict[str, tuple[float, float]]:
    """95 % confidence intervals of `totals`, by bootstrap over identities, not frames.

    Figures of a single person have no interval.
    """
    own = [row for row in rows if row["system"] == system]
    found = {}
    for metric in METRICS:
        known = _known(own, metric)
        people = np.array([row["identity"] for row in known])
        if len(set(people)) > 1:
            weights = _weights(known, metric)
            found[metric] = interval(_values(known, metric), people, weights, median=metric in MEDIANS)
    return found


def interval(
    values: NDArray[np.float64],
    groups: NDArray[np.str_],
    weights: NDArray[np.float64] | None = None,
    *,
    median: bool = False,
) -> tuple[float, float]:
    """2.5th and 97.5th percentile of the mean of `values` `(n,)` when whole `groups` `(n,)` are resampled.

    `weights` `(n,)`: for a weighted mean; `median`: percentiles of the median instead. NaN if a value is infinite
    (identical pictures), because their mean has no spread.
    """
    if not np.isfinite(values).all():
        return float("nan"), float("nan")
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    draws = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    drawn_times = np.stack([np.bincount(draw, minlength=count) for draw in draws])[:, member]
    times = drawn_times * (np.ones(len(values)) if weights is None else weights)
    drawn = _medians(values, times) if median else times @ values / times.sum(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _medians(values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of `values` `(n,)` repeated `times` `(r, n)` in each of r draws."""
    order = np.argsort(values)
    upto = np.cumsum(times[:, order], axis=1)
    half = upto[:, -1:] / 2
    ranks = (upto >= half).argmax(1), (upto > half).argmax(1)  # of an even number, the two in the middle
    return np.asarray(values[order][np.stack(ranks)].mean(0))


def _total(rows: Sequence[Row], metric: str) -> float:
    values = _values(rows, metric)
    return float(np.median(values) if metric in MEDIANS else np.average(values, weights=_weights(rows, metric)))


def _weights(rows: Sequence[Row], metric: str) -> NDArray[np.float64]:
    return _values(rows, WEIGHTS[metric]) if metric in WEIGHTS else np.ones(len(rows))


def _values(rows: Sequence[Row], metric: str) -> NDArray[np.float64]:
    return np.array([row[metric] for row in rows], np.float64)


def _known(rows: Sequence[Row], metric: str) -> list[Row]:
    """The rows that have the figure."""
    return [row for row in rows if row.get(metric) is not None and not np.isnan(row[metric])]
