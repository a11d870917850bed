"""The same stages on torch: CUDA, or weights that were never exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import UsageError


class TorchBackend:
    """Calls the torch modules of a model folder; needs the `train` extra."""

    def __init__(self, folder: Path, device: str = "auto", threads: int | None = None) -> None:
        try:
            import torch

            from lipsmith.inference.stages import load_stages
        except ImportError as error:
            raise UsageError(
                f"{folder.name} on {device} needs torch: pip install '.[train]' in the clone, or use cpu."
            ) from error
        self._torch = torch
        self._device = _device(torch, device)
        if threads:
            torch.set_num_threads(threads)
        self._stages = {name: stage.to(self._device).eval() for name, stage in load_stages(folder).items()}
        self.name = f"torch {torch.__version__}, {self._device}, {torch.get_num_threads()} threads"

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        torch = self._torch
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(value, np.float32)).to(self._device)
            for name, value in inputs.items()
        }
        with torch.inference_mode():
            outputs = self._stages[stage](**tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.cpu().numpy() for output in outputs)


def _device(torch: Any, device: str) -> str:  # noqa: ANN401 - the torch module itself, imported late
    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda:0" if available else "cpu"
    if device == "cpu":
        return device
    index = int(device.partition(":")[2] or 0)
    if not available or index >= torch.cuda.device_count():
        raise UsageError(f"Device {device}: torch sees no such GPU here; use cpu.")
    return f"cuda:{index}"
