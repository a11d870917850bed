"""Loads the landmark generator for inference, from the folder of a training run or a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lipsmith.config import build
from lipsmith.errors import WeightsError
from lipsmith.evaluation.landmarks import TrainedGenerator
from lipsmith.inference.model_folder import find_model, load_backend, model_names, read_card
from lipsmith.inference.torch import TorchBackend, torch_device
from lipsmith.inference.weights import with_weights
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import LandmarkGenerator, build_landmark_generator


def load_generator(model: str, device: str = "auto", threads: int | None = None) -> TrainedGenerator:
    """The landmark generator of a run or a model.

    `model`: the folder of a training run, or the name or folder of a model whose config has the table `landmarks`.
    Raises WeightsError otherwise.
    """
    if model not in model_names() and (Path(model) / "landmarks.json").is_file():
        return _of_run(Path(model), device, threads)
    folder = find_model(model)
    sizes: dict[str, Any] = folder.config.get("landmarks", {})
    if "window" not in sizes:
        raise WeightsError(f"{folder.path / 'config.json'} has no table 'landmarks'; give a model that dubs.")
    return TrainedGenerator(
        load_backend(folder, device, threads), int(sizes["window"]), int(sizes.get("references", 15))
    )


def _of_run(run: Path, device: str, threads: int | None) -> TrainedGenerator:
    if threads:
        torch.set_num_threads(threads)
    network, config = load_trained(run)
    return TrainedGenerator(as_backend(network.to(torch_device(device))), config.window, config.references)


def as_backend(network: LandmarkGenerator) -> TorchBackend:
    """The stages `speech` and `landmarks` of a network in memory, on the device of its weights."""
    stages: dict[str, nn.Module] = {"speech": network.speech, "landmarks": network.transformer}
    return TorchBackend(stages, next(network.parameters()).device)


def load_trained(run: Path) -> tuple[LandmarkGenerator, LandmarkConfig]:
    """The best network of a run, for inference. Raises WeightsError if the folder has none, or it is damaged."""
    weights, card = run / "landmarks.safetensors", run / "landmarks.json"
    if not weights.is_file() or not card.is_file():
        raise WeightsError(f"{run}: no {weights.name} with {card.name}; train with `lipsmith train landmarks`.")
    model = read_card(run, "landmarks")["training"].get("model")
    config = build(LandmarkConfig, model, f"{card}: training.model", WeightsError)
    return with_weights(build_landmark_generator(config), weights), config
