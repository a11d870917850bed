"""Lip-sync error of embeddings: the distance of mouth and speech, and the shift at which it is smallest.

LSE-D (distance, lower is better) and LSE-C (confidence, higher is better) after Prajwal et al., "A lip sync expert is
all you need" (2020), section 4.1, as computed by the SyncNet of Chung & Zisserman (2016): the mean distance at the best
shift, and its gap to the median over all shifts. Their unit depends on the judge, so figures of different judges do not
compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

OWN: Final = "sync"
"""The judge that lipsmith ships."""
OFFICIAL: Final = "syncnet_v2"
"""The judge of published figures. It needs the waveform, but prepared clips store only the mel."""
REACH: Final = 15
"""Largest shift in either direction in published figures, frames at 25 fps."""
SECOND: Final = 21
"""Five-frame windows in one second at 25 fps."""
_FARTHEST: Final = 8
"""Largest lag of a clip, frames at 25 fps."""
_TRUST: Final = 75.0
"""Windows for which the mean curve of an identity counts in the lag of one of its clips."""


@dataclass(frozen=True)
class SyncFigures:
    """The figures of one clip."""

    lse_d: float
    """Mean distance at the best shift; lower is better."""
    lse_c: float
    """Median over shifts minus the minimum; higher is better."""
    offset: int
    """Frames at 25 fps by which the speech lags the picture, at the best shift."""
    curve: NDArray[np.float64]
    """(2 reach + 1,) mean distance at every shift, NaN if the clip is too short."""

    @property
    def by_name(self) -> dict[str, float]:
        """The figures of a row; all NaN if nothing can be compared."""
        offset = self.offset if np.isfinite(self.lse_d) else float("nan")
        return {"lse_d": self.lse_d, "lse_c": self.lse_c, "offset": offset}


def shift_distances(mouth: NDArray[np.float32], speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances `(W, 2R + 1)` of mouth window i from the speech k frames later, k = -R..R.

    `mouth`: `(W, E)`; `speech`: `(W + 2R, E)`, with the window in sync with mouth window i at i + R, and rows of NaN
    outside the sound.
    """
    span = len(speech) - len(mouth) + 1
    shifted = np.lib.stride_tricks.sliding_window_view(speech, span, axis=0)
    difference = shifted - mouth[:, :, None]
    distances: NDArray[np.float32] = np.sqrt(np.einsum("wek,wek->wk", difference, difference))
    return distances


def mean_curve(distances: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean over the windows at every shift `(2R + 1,)`; NaN if fewer than half of the windows have sound."""
    there = np.isfinite(distances)
    count = there.sum(0)
    total = np.where(there, distances, 0).sum(0, dtype=np.float64)
    return np.where(2 * count >= max(1, len(distances)), total / np.maximum(count, 1), np.nan)


def sync_figures(distances: NDArray[np.float32]) -> SyncFigures:
    """LSE-D, LSE-C and offset of one clip's distances `(W, 2R + 1)`; NaN and offset 0 if nothing can be compared."""
    return figures_of(mean_curve(distances))


def figures_of(curve: NDArray[np.float64]) -> SyncFigures:
    """LSE-D, LSE-C and offset of a mean curve `(2R + 1,)`."""
    if not np.isfinite(curve).any():
        return SyncFigures(float("nan"), float("nan"), 0, curve)
    best = int(np.nanargmin(curve))
    least = float(curve[best])
    return SyncFigures(least, float(np.nanmedian(curve)) - least, best - len(curve) // 2, curve)


def sync_accuracy(clips: Iterable[NDArray[np.float32]]) -> float:
    """Share of comparisons in which a 1 s window in sync is nearer than the same window 3 to 10 frames early or late.

    `clips`: distances `(W, 2R + 1)` of each. Windows start every 5 frames; 0 if nothing can be compared.
    """
    nearer = comparisons = 0
    for distances in clips:
        middle = distances.shape[1] // 2
        columns = [middle + side * shift for shift in range(3, 11) for side in (-1, 1)]
        for start in range(0, len(distances) - SECOND + 1, 5):
            means = distances[start : start + SECOND].mean(0)
            gaps = means[columns] - means[middle]
            nearer += int((gaps > 0).sum())
            comparisons += int(np.isfinite(gaps).sum())
    return nearer / max(1, comparisons)


def estimate_lags(distances: list[NDArray[np.float32]], identities: NDArray[np.intp]) -> NDArray[np.float32]:
    """Frames by which the speech of each clip lags its picture.

    The curve of a short clip is noisy, so the mean curve of its identity's clips (which mostly come from one source) is
    added with the weight of `_TRUST` windows. Lags beyond `_FARTHEST` are not considered; the lag is 0 if an
    identity has nothing to compare.
    """
    curves = np.array([mean_curve(part) for part in distances])
    known = np.isfinite(curves).any(1)
    lengths = np.array([max(1, len(part)) for part in distances], np.float64)
    # A shift that a clip is too short to compare counts as its worst shift.
    worst = np.max(curves, axis=1, keepdims=True, where=np.isfinite(curves), initial=0)
    curves = np.where(np.isfinite(curves), curves, worst)
    middle = curves.shape[1] // 2
    farthest = min(_FARTHEST, middle)
    near = slice(middle - farthest, middle + farthest + 1)
    lags = np.zeros(len(curves), np.float32)
    for identity in np.unique(identities):
        own = identities == identity
        shared = np.average(curves[own], axis=0, weights=lengths[own])
        joined = lengths[own, None] * curves[own] + _TRUST * shared
        if known[own].any():
            lags[own] = joined[:, near].argmin(1) - farthest
    return lags
