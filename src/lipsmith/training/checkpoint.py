"""Saves and loads the files of a run: checkpoints with random states, and weights with their card or as a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from torch import Tensor, nn

from lipsmith.disk import disk_errors
from lipsmith.errors import UsageError, WeightsError
from lipsmith.files import write_whole
from lipsmith.inference.model_folder import find_model, model_names, write_config
from lipsmith.inference.weights import WEIGHTS, halved, of_network, read_weights, write_tensors

CHECKPOINT: Final = "checkpoint.pt"
"""Name of the checkpoint in a run's folder."""


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` atomically, so that `path` is always a complete checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()  # torch hides what goes wrong while it writes a file
    torch.save(dict(state), content)
    with disk_errors(path), write_whole(path) as beside:
        beside.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Load a checkpoint with tensors on the CPU; None if the file does not exist. Errors as in `checkpoint_errors`."""
    if not path.is_file():
        return None
    content = BytesIO(path.read_bytes())
    with checkpoint_errors(path):
        state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    return state


@contextmanager
def checkpoint_errors(path: Path) -> Iterator[None]:
    """Raise WeightsError for what goes wrong where a damaged checkpoint is read."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:  # a RuntimeError, too, but the checkpoint must not be removed for it
        raise
    except (EOFError, UnpicklingError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged, or of another version; remove it, and the run begins again.") from error


def rng_state(generator: torch.Generator) -> dict[str, Tensor]:
    """States of all random number generators of a run: `generator` and torch's global ones."""
    state = {"sampler": generator.get_state(), "cpu": torch.get_rng_state()}
    if generator.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(generator.device)
    return state


def set_rng_state(generator: torch.Generator, state: Mapping[str, Tensor]) -> None:
    """Restore the states from `rng_state`."""
    generator.set_state(state["sampler"])
    torch.set_rng_state(state["cpu"])
    if generator.device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], generator.device)


def save_weights(path: Path, weights: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write `path`.safetensors and `path`.json (config and figures), each atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path.with_name(f"{path.name}.safetensors")) as beside:
        write_tensors(beside, {name: value.detach().cpu().contiguous() for name, value in weights.items()})
    with write_whole(path.with_name(f"{path.name}.json")) as beside:
        beside.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def save_model(
    folder: Path, kind: str, network: nn.Module, architecture: Mapping[str, Any], card: Mapping[str, Any]
) -> None:
    """Write a model folder of a kind that does not dub, with kernels and matrices in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    with write_whole(folder / WEIGHTS) as beside:
        write_tensors(beside, halved(network.state_dict()))
    write_config(folder, {"kind": kind, "architecture": architecture, **card})


def load_initial_weights(module: nn.Module, start: str, network: str) -> None:
    """Load the weights of `network` (`landmarks`, `renderer`, `sync`) from a run or a model, by folder or name.

    Modules absent from those weights keep their initial values (as in an extended network); extra ones are ignored (as
    in an ablation). Raises WeightsError if there are no such weights or they are not numbers, UsageError for another
    architecture.
    """
    weights = _find_weights(start, network)
    own = module.state_dict()
    shared = {_owner(name) for name in own} & {_owner(name) for name in weights}
    wanted, found = (_shapes(tensors, shared) for tensors in (own, weights))
    if not shared or wanted != found:
        raise UsageError(f"{start} has another architecture than the config; start from another model.")
    if not all(weights[name].isfinite().all() for name in found):
        raise WeightsError(f"{start} has weights that are not numbers; start from another run or model.")
    module.load_state_dict({name: weights[name] for name in found}, strict=False)


def _find_weights(start: str, network: str) -> dict[str, Tensor]:
    run = Path(start) / f"{network}.safetensors"
    if start not in model_names() and run.is_file():
        return read_weights(run)
    model = find_model(start)
    weights = read_weights(model.path / WEIGHTS)
    return weights if model.config.get("kind") == network else of_network(weights, network)


def _owner(name: str) -> str:
    """The module that a tensor of a state dict belongs to."""
    return name.rpartition(".")[0]


def _shapes(tensors: Mapping[str, Tensor], owners: set[str]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items() if _owner(name) in owners}
