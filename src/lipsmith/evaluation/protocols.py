"""Which frames of a clip are rebuilt, and what a system may look at to rebuild them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import Clip
from lipsmith.face.references import POOL, choose_pool, paper_pool_size

Protocol = Literal["strict", "paper", "cross"]

MIN_STRICT_SECONDS: Final = 2.0
"""Seconds that a clip must last."""
GAP: Final = 0.2
"""Seconds between the last frame that may be looked at and the first to be rebuilt."""


@dataclass(frozen=True)
class Task:
    """One clip's question. All indices are frames of the clip."""

    targets: NDArray[np.intp]
    """(T,) successive frames to rebuild."""
    allowed: NDArray[np.intp]
    """(A,) frames from which references and lip references may be chosen."""
    pool: NDArray[np.intp]
    """(R,) the references of a system that leaves the choice to the protocol, by rising lip opening."""


def task(clip: Clip, protocol: Protocol) -> Task | None:
    """What `protocol` asks of a clip, or None for a clip too short for it.

    `strict`: references from the first half, the second half from 0.2 s on is rebuilt. `paper`: as IP_LAP, every frame
    is rebuilt from references at evenly spaced ranks of lip opening over the whole clip. `cross`: as `strict`, with the
    speech of somebody else.
    """
    count = len(clip.times)
    if clip.record.seconds < MIN_STRICT_SECONDS or count < 20:
        return None
    if protocol == "paper":
        everything = np.arange(count)
        return Task(everything, everything, choose_pool(clip.landmarks, None, paper_pool_size(count)))
    half = clip.times[0] + clip.record.seconds / 2
    allowed = np.flatnonzero(clip.tracked & (clip.times < half))
    targets = np.flatnonzero(clip.times >= half + GAP - 1e-6)
    if len(allowed) < 5 or len(targets) < 5:
        return None
    pool = allowed[choose_pool(clip.landmarks[allowed], None, min(len(allowed), POOL))]
    return Task(targets, allowed, pool)
