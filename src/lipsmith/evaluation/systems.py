"""Systems under evaluation: anything that rebuilds the lower half of crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

REAL: Final = "real"
"""The real film itself, for figures that need no ground truth."""
COPY: Final = "copy"
MEAN: Final = "mean"
WARP: Final = "warp"
ENLARGED: Final = "enlarged"
ADAPTED: Final = "adapted"
RESERVED: Final = (REAL, COPY, MEAN, WARP, ENLARGED, ADAPTED)
"""Reserved names of systems."""


@dataclass(frozen=True)
class ReconstructionTask:
    """Input of a system. Only `landmarks`, and `points` if they are true ones, reveal a target's own mouth."""

    clip: str
    """Name of the clip."""
    images: NDArray[np.uint8]
    """(F, S, S, 3) all frames of the clip; disallowed frames have black lower halves."""
    landmarks: NDArray[np.float32]
    """(F, 131, 2) crop units, as tracked."""
    still: NDArray[np.float32]
    """(F, 2, 2) crop units: two fixed background points, `lipsmith.face.crop.still_points`."""
    targets: NDArray[np.intp]
    """(T,) frames to rebuild."""
    upper: NDArray[np.uint8]
    """(T, S, S, 3) the targets with black lower halves."""
    points: NDArray[np.float32]
    """(T, 131, 2) requested landmarks of the result."""
    predicted: bool
    """Whether lips and jaw of `points` come from speech."""
    mel: NDArray[np.float32]
    """(T, 80, 16) the mel window of each target."""
    sound: NDArray[np.float32]
    """(80, steps) the mel that those windows are of."""
    times: NDArray[np.float64]
    """(T,) seconds of the targets in it."""
    allowed: NDArray[np.intp]
    """(A,) frames allowed as references."""
    pool: NDArray[np.intp]
    """(R,) the protocol's own choice of references."""


class System(Protocol):
    """A model or baseline under a name."""

    name: str

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """The targets `(T, S, S, 3)`, whole crops, RGB."""
