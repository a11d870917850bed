"""The interface to a model's stages (see docs/architecture.md), implemented on ONNX Runtime and on torch."""

from __future__ import annotations

from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Precision = Literal["auto", "float", "int8"]
"""Number format of the renderer's stages on a CPU; auto: int8 if that is faster."""
MOST_THREADS: Final = 1024
"""Maximum number of CPU threads; systems refuse to start many more."""


class Backend(Protocol):
    """The stages of one model on numpy arrays, callable by name and from several threads."""

    @property
    def precision(self) -> Precision:
        """Precision of the renderer's stages: float or int8."""
        ...

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run `stage`; names of inputs and order of outputs are those of docs/architecture.md."""
        ...
