"""Runs the stages on torch, for CUDA and for weights without ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsmith.config import parse_device
from lipsmith.errors import UsageError
from lipsmith.inference.backend import Precision

if TYPE_CHECKING:
    import torch
    from torch import nn


class TorchBackend:
    """Calls torch modules, which it moves to `device`, as stages. Needs the `train` extra.

    Runs one call at a time, which torch splits over its own threads.
    """

    def __init__(self, stages: Mapping[str, nn.Module], device: str | torch.device) -> None:
        import torch

        self._torch, self._device = torch, device
        self._stages = {name: stage.to(device).eval() for name, stage in stages.items()}
        self._lock = Lock()
        self.precision: Precision = "float"
        self.name = f"torch {torch.__version__}, {self._device}, {torch.get_num_threads()} threads"

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        torch = self._torch
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(value, np.float32)).to(self._device)
            for name, value in inputs.items()
        }
        with self._lock, torch.inference_mode():
            outputs = self._stages[stage](**tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.float().cpu().numpy() for output in outputs)


def load_torch_backend(folder: Path, device: str, threads: int | None) -> TorchBackend:
    """The stages of the model folder on `device`. Raises `UsageError` if torch or the device is missing."""
    try:
        import torch

        from lipsmith.inference.stages import load_stages
    except ImportError as error:
        raise UsageError(
            f'{folder.name} on {device} needs torch: pip install ".[train]" in the clone, or use cpu.'
        ) from error
    wanted = torch_device(device)
    if threads:
        torch.set_num_threads(threads)
    return TorchBackend(load_stages(folder), wanted)


def torch_device(device: str) -> str:
    """`auto` is the first GPU if there is one, else the CPU. Raises `UsageError` for a device that does not exist."""
    kind, index = parse_device(device)
    import torch

    available = torch.cuda.is_available()
    if kind == "cpu" or (kind == "auto" and not available):
        return "cpu"
    if not available or (index or 0) >= torch.cuda.device_count():
        raise UsageError(f"Device {device}: torch finds no such GPU here; use cpu.")
    return f"cuda:{index or 0}"
