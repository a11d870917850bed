"""Runs the stages of a model folder on numpy arrays: ONNX Runtime on any machine, torch where CUDA or only weights are.

The stages, their inputs and outputs are listed in docs/architecture.md.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from lipsmith.inference.model_folder import ModelFolder
    from lipsmith.inference.onnx import OnnxBackend
    from lipsmith.inference.torch import TorchBackend

_LOG = logging.getLogger(__name__)
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class Backend(Protocol):
    """The stages of one model on numpy arrays, callable by name."""

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """The outputs of `stage`, in the contract's order, for inputs given by the contract's names."""
        ...


def load_backend(folder: ModelFolder, device: str = "auto", threads: int | None = None) -> Backend:
    """The backend that runs the model in `folder`; one log line says which was chosen.

    `device`: auto (CUDA where ONNX Runtime has it, or torch where there are no ONNX files; else the CPU), cpu, cuda or
    cuda:N, for which torch serves where ONNX Runtime has no CUDA. `threads`: threads within one operator, None for as
    many as there are cores.
    Raises `UsageError` for a device that is not there and `WeightsError` for a folder without stages.
    """
    if not _DEVICE.fullmatch(device):
        raise UsageError(f"Device {device!r} is unknown: use auto, cpu, cuda or cuda:N.")
    backend = _choose(folder, device, threads)
    _LOG.info("model %s runs on %s", folder.path.name, backend.name)
    return backend


def _choose(folder: ModelFolder, device: str, threads: int | None) -> OnnxBackend | TorchBackend:
    has_onnx = (folder.path / "render.onnx").is_file()
    if not has_onnx and not list(folder.path.glob("*.safetensors")):
        raise WeightsError(f"{folder.path}: no stage (*.onnx) and no weights (*.safetensors); fetch the model again.")
    if has_onnx:
        from lipsmith.inference.onnx import OnnxBackend, cuda_is_available

        if device in ("auto", "cpu") or cuda_is_available():
            return OnnxBackend(folder.path, device, threads or usable_cores())
    from lipsmith.inference.torch import load_torch_backend

    return load_torch_backend(folder.path, device, threads)


def usable_cores() -> int:
    """At least 1. Schedulers of clusters and containers lend a process some of the machine's cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
