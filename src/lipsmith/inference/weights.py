"""Weights of networks in files, as in a model folder or in a training run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from lipsmith.errors import WeightsError

WEIGHTS: Final = "model.safetensors"
"""File of a model folder. In a model that dubs, names of tensors start with `landmarks.` or `renderer.`."""

N = TypeVar("N", bound=nn.Module)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file by name, on the CPU. Raises `WeightsError` if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is missing or damaged; train or fetch it again ({error}).") from error


def with_weights(network: N, path: Path) -> N:
    """The network with the weights in `path`, for inference.

    Raises `WeightsError` if the file is missing or damaged, or holds the weights of another architecture.
    """
    weights = read_weights(path)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:  # which lists all tensors
        raise WeightsError(f"{path} does not match the config beside it; train or fetch it again.") from error
    return network.eval()


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file with the permissions of the umask; safetensors' writer makes it readable by the owner
    only."""
    path.write_bytes(save(dict(tensors)))


def of_network(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of one network of a model, `landmarks` or `renderer`, without the prefix."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for storage: matrices and kernels in float16, vectors and scalars unchanged.

    Rounding variances and log-scales would cost accuracy and save almost no space.
    """
    return {
        name: (value.half() if value.is_floating_point() and value.dim() > 1 else value).contiguous()
        for name, value in weights.items()
    }
