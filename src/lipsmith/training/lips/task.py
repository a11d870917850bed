"""The training task of the lip detector: lip points of the face mesh, from crops of people speaking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from lipsmith.errors import counted
from lipsmith.evaluation.metrics.landmarks import CROP_SIDE
from lipsmith.inference.model_folder import find_model
from lipsmith.inference.weights import WEIGHTS, with_weights
from lipsmith.models.lip_detector import LipDetector, LipDetectorConfig
from lipsmith.training.checkpoint import save_model
from lipsmith.training.device import channels_last, mixed_precision
from lipsmith.training.lips.config import LipsTraining
from lipsmith.training.lips.sampler import MouthFootage, Mouths
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.lips import gap_error, lip_error, lip_gaps
from lipsmith.training.task import Task

KIND: Final = "lips"
_AT_ONCE: Final = 256


class LipsTask(Task[Mouths]):
    """Trains `LipDetector`; a run also writes the model folder `lips`, which the renderer's training reads."""

    name = KIND

    def __init__(self, config: LipsTraining) -> None:
        self.config: LipsTraining = config
        self.samples = config.batch
        self.weights = {"points": 1.0, "gaps": config.gap_weight}

    def load(self, data: Path, device: torch.device) -> str:
        """Load the crops of both splits. Raises InputError if one is empty."""
        self.footage = MouthFootage(data, "train", device)
        self.held_out = MouthFootage(data, "val", device)
        self.precision = mixed_precision(device)
        people = counted(len({record.identity for record in self.footage.records}), "person", "people")
        clips = counted(len(self.held_out.records), "clip")
        return f"{len(self.footage.crops)} frames of {people}, {clips} to validate on"

    def build(self) -> LipDetector:
        """The network."""
        return LipDetector(self.config.model)

    def identity(self) -> dict[str, Any]:
        """The architecture."""
        return {"model": asdict(self.config.model)}

    def prepare(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Use the memory layout that convolutions run fastest in."""
        return channels_last(module, device)

    def batch(self, random: torch.Generator) -> Mouths:
        """Augmented windows."""
        return self.footage.draw(self.config.batch, self.config.model.size, random)

    def losses(self, network: nn.Module, batch: Mouths, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        """The errors of points and gaps, pixels of 128."""
        with self.precision:
            found = network(batch.windows)
        errors = {"points": lip_error(found, batch.points), "gaps": gap_error(found, batch.points)}
        return {name: CROP_SIDE * error for name, error in errors.items()}

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """Errors in pixels of 128 on unseen people, r and slope of the middle gap; `score` is minus both errors."""
        averaged.eval()
        crops = self.held_out.crops
        frames = torch.arange(0, len(crops), 4, device=crops.device)[: 64 if trials else None]
        with self.precision:
            parts = [self._found(averaged, part) for part in frames.split(_AT_ONCE)]  # type: ignore[no-untyped-call]
        found, true = (CROP_SIDE * torch.cat(part) for part in zip(*parts, strict=True))
        points, gaps = float(lip_error(found, true)), float(gap_error(found, true))
        opening, asked = (lip_gaps(lips)[:, 4].double().cpu().numpy() for lips in (found, true))
        slope, r = np.polyfit(asked, opening, 1)[0], np.corrcoef(asked, opening)[0, 1]
        return {"points": points, "gaps": gaps, "slope": float(slope), "r": float(r), "score": -points - gaps}

    def _found(self, network: nn.Module, frames: Tensor) -> tuple[Tensor, Tensor]:
        mouths = self.held_out.mouths(frames, self.config.model.size)
        return network(mouths.windows), mouths.points

    def save(self, folder: Path, averaged: nn.Module, card: Mapping[str, Any]) -> None:
        """Also save a model folder for `load_lip_detector`."""
        super().save(folder, averaged, card)
        save_model(folder / self.name, KIND, averaged, asdict(self.config.model), card)


def load_lip_detector(name: str) -> LipDetector:
    """The trained network of a model, frozen. Raises WeightsError if there is none, or for another kind of model."""
    folder = find_model(name)
    network = LipDetector(folder.architecture(LipDetectorConfig, KIND, "a lip detector"))
    return with_weights(network, folder.path / WEIGHTS).requires_grad_(False)
