"""Lip closure: whether lips touch at the phonemes that require it, and not at open vowels.

Content is `(F, 57, 2)` in crop units. Lips touch at a phoneme if the smallest opening within two frames (of 1/25 s) of
it is under a pixel of 128. At open vowels they touch by chance and because of neighboring consonants; predicted lips
that touch there more often than true ones close too much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.evaluation.metrics.landmarks import inner_opening
from lipsmith.face.landmarks import TOUCHING, Floats
from lipsmith.speech.phonemes import BILABIAL, LABIODENTAL, OPEN, Phonemes

GROUPS: Final = {"closure": BILABIAL, "closure_fv": LABIODENTAL, "closure_open": OPEN}
"""Phonemes by name of the figure: p, b, m; f, v; open vowels."""
_NEAR: Final = 0.08 + 1e-3
_BESIDE: Final = 0.03


def closures(
    content: Floats, times: NDArray[np.float64], counted: NDArray[np.bool_], phonemes: Phonemes
) -> dict[str, float]:
    """Share of each group's phonemes at which lips touch; NaN if none is spoken in a counted frame.

    times: `(F,)` seconds, counted: `(F,)`.
    """
    shut = inner_opening(content) < TOUCHING
    found: dict[str, list[bool]] = {name: [] for name in GROUPS}
    for frames, symbol in _spoken(times, counted, phonemes):
        for name, symbols in GROUPS.items():
            if symbol in symbols:
                found[name].append(bool(shut[frames].any()))
    return {name: float(np.mean(hits)) if hits else float("nan") for name, hits in found.items()}


def events(times: NDArray[np.float64], counted: NDArray[np.bool_], phonemes: Phonemes) -> dict[str, float]:
    """Number of phonemes of each group spoken in counted frames."""
    said = [symbol for _, symbol in _spoken(times, counted, phonemes)]
    return {f"{name}_events": float(sum(symbol in symbols for symbol in said)) for name, symbols in GROUPS.items()}


def pooled(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Closures over all phonemes of many clips, with equal weight, and the number of phonemes; empty without
    phonemes."""
    figures: dict[str, float] = {}
    for name in GROUPS:
        count = f"{name}_events"
        having = [row for row in rows if row.get(count, 0) > 0]
        if having:
            figures[count] = sum(row[count] for row in having)
            for key in sorted({key for row in having for key in row if key.split(".")[-1] == name}):
                figures[key] = sum(row[key] * row[count] for row in having) / figures[count]
    return figures


def _spoken(
    times: NDArray[np.float64], counted: NDArray[np.bool_], phonemes: Phonemes
) -> list[tuple[NDArray[np.intp], str]]:
    """The counted frames near each phoneme whose own frame is counted."""
    found = []
    for symbol, moment in phonemes:
        nearest = int(np.abs(times - moment).argmin())
        if counted[nearest] and abs(times[nearest] - moment) <= _BESIDE:
            near = np.abs(times - times[nearest]) <= _NEAR
            found.append((np.flatnonzero(near & counted), symbol))
    return found
