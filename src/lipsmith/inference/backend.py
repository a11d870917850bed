"""The one interface to a model's stages, which docs/architecture.md lists: ONNX Runtime and torch are behind it."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Precision = Literal["auto", "float", "int8"]
"""Numbers that the render stage computes with on a CPU; auto: int8 where that is faster."""


class Backend(Protocol):
    """The stages of one model on numpy arrays, callable by name, from several threads at once."""

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """The outputs of `stage`, in the contract's order, for inputs given by the contract's names."""
        ...
