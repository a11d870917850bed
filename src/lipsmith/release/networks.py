"""Finds trained networks in the folders of runs and models, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lipsmith.errors import WeightsError
from lipsmith.inference.model_folder import find_model, model_names, read_card, read_record
from lipsmith.inference.weights import WEIGHTS, of_network, read_weights


def read_network(source: Path | str, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON record of a network in a run or model, and its weights. Raises WeightsError if one is missing."""
    card, weights = Path(source, f"{name}.json"), Path(source, f"{name}.safetensors")
    if card.is_file() and weights.is_file():
        return read_card(source, name), read_weights(weights)
    if str(source) not in model_names() and not Path(source, "config.json").is_file():
        raise WeightsError(
            f"{source}: no {name}.safetensors with {name}.json; train with `lipsmith train {name}`, or name a model."
        )
    model = find_model(source).path
    return read_record(model, name), of_network(read_weights(model / WEIGHTS), name)


def require_match(network: nn.Module, weights: Mapping[str, Tensor], source: Path | str) -> None:
    """Raise WeightsError for weights of another architecture than the network of their config."""
    own, found = ({name: value.shape for name, value in tensors.items()} for tensors in (network.state_dict(), weights))
    if own != found:
        raise WeightsError(f"{source}: the weights do not match their config; train again.")


def origin_of(source: Path | str, network: str) -> str | None:
    """The model from which the weights of `network` in the run or model `source` derive; None if trained from scratch.

    Runs are traced back to their start; a start that no longer exists counts as a model.
    """
    followed, source = set(), Path(source)
    while (card := source / f"{network}.json").is_file() and card not in followed:
        followed.add(card)
        start = read_card(source, network)["training"].get("start")
        if start is None:
            return None
        source = Path(start)
    return str(source)
