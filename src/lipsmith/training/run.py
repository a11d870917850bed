"""Where a training runs and what it leaves behind: the device, the curves, the weights."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from lipsmith.errors import UsageError
from lipsmith.files import write_whole
from lipsmith.training.state import Schedule, write_tensors

_LOG = logging.getLogger(__name__)


def make_fabric(device: str, precision: Any = "32-true") -> Fabric:  # noqa: ANN401 - Fabric checks it
    """Fabric on the device that was asked for (`auto`, `cpu`, `cuda`, `cuda:1`); under torchrun, on all it started."""
    kind, _, index = device.partition(":")
    wanted = "cuda" if kind == "auto" and torch.cuda.is_available() else kind.replace("auto", "cpu")
    local, world = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), int(os.environ.get("WORLD_SIZE", 1))
    devices: Any = [int(index)] if index else local
    try:
        fabric = Fabric(accelerator=wanted, devices=devices, num_nodes=world // local, precision=precision)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"--device {device} cannot be used: {error}") from error
    fabric.launch()
    return fabric


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 faster than in float32: a GPU, or a CPU with instructions for it."""
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cuda" or (native is not None and bool(native()))


def is_finished(fabric: Fabric, schedule: Schedule, step: int) -> bool:
    """Whether the run is over: for all processes when it is for the first, whose clock rules."""
    done = schedule.done(step)
    return bool(fabric.broadcast(done)) if fabric.world_size > 1 else done


class Curves:
    """TensorBoard scalars and pictures, where TensorBoard is installed and a folder is given."""

    def __init__(self, run: Path | None) -> None:
        self._writer: Any = None
        if run is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            _LOG.info("tensorboard is not installed: no curves")
            return
        self._writer = SummaryWriter(str(run))

    def add(self, group: str, values: dict[str, float], step: int) -> None:
        """One point of each curve."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, image: Tensor, step: int) -> None:
        """One picture `(3, H, W)` in [0, 1]."""
        if self._writer is not None:
            self._writer.add_image(name, image, step)


def save_weights(path: Path, weights: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write `path`.safetensors, and `path`.json that says what it is and what it measured; each appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path.with_name(path.name + ".safetensors")) as beside:
        write_tensors(beside, {name: value.detach().cpu().contiguous() for name, value in weights.items()})
    with write_whole(path.with_name(path.name + ".json")) as beside:
        beside.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
