"""The interface to a model's stages (see docs/architecture.md), implemented on ONNX Runtime and on torch."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import UsageError

Precision = Literal["auto", "float", "int8"]
"""Number format of the renderer's stages on a CPU; auto: int8 if that is faster."""
DeviceKind = Literal["auto", "cpu", "cuda"]
"""Kinds of device; auto: a GPU if one can be used."""

MOST_THREADS: Final = 1024
"""Maximum number of CPU threads; systems refuse to start many more."""

_DEVICE: Final = re.compile(r"(auto|cpu|cuda)|cuda:(\d+)")


class Device(NamedTuple):
    """Where networks run."""

    kind: DeviceKind
    number: int | None
    """Number of the GPU; None if it is not given."""


def parse_device(device: str) -> Device:
    """The device auto, cpu, cuda or cuda:N. Raises `UsageError` for any other word."""
    match = _DEVICE.fullmatch(str(device))
    if match is None:
        raise UsageError(f"Device {device!r} is unknown; use auto, cpu, cuda or cuda:N.")
    return Device(cast("DeviceKind", match[1] or "cuda"), int(match[2]) if match[2] else None)


class Backend(Protocol):
    """The stages of one model on numpy arrays, callable by name and from several threads."""

    @property
    def precision(self) -> Precision:
        """Precision of the renderer's stages: float or int8."""
        ...

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run `stage`; names of inputs and order of outputs are those of docs/architecture.md."""
        ...
