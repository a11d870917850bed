"""Selects the device, the precision and the memory layout of a training."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import nn

from lipsmith.config import parse_device
from lipsmith.errors import UsageError
from lipsmith.inference.torch import torch_device

M = TypeVar("M", bound=nn.Module)


def make_fabric(device: str) -> Fabric:
    """Fabric on the requested device (`auto`, `cpu`, `cuda`, `cuda:1`); under torchrun, on all its processes.

    Raises UsageError for a device that does not exist.
    """
    wanted, index = torch_device(device).partition(":")[0], parse_device(device)[1]
    local, world = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), int(os.environ.get("WORLD_SIZE", 1))
    devices: Any = local if index is None else [index]
    # DDP waits for the gradient of every parameter, but IP_LAP's alignment is trained alone at first.
    strategy = "ddp_find_unused_parameters_true" if world > 1 else "auto"
    try:
        fabric = Fabric(
            accelerator=wanted, strategy=strategy, devices=devices, num_nodes=world // local, precision="32-true"
        )
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"Device {device} cannot be used: {error}") from error
    fabric.launch()
    return fabric


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which matrix products run in bfloat16, if that is faster than float32 on the device.

    Fabric's bf16-mixed would also round the inputs, and thus every landmark by up to half a pixel.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=_has_bfloat16(device))


def channels_last(module: M, device: torch.device) -> M:
    """The module on its device, in the memory layout that convolutions run fastest in."""
    moved: M = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _has_bfloat16(device: torch.device) -> bool:
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cuda" or (native is not None and bool(native()))
