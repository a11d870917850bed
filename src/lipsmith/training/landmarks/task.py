"""The landmark generator as a task: windows of footage in, lip and jaw points against the truth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipsmith.errors import InputError
from lipsmith.evaluation.landmarks import load_trials, measure, total
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.models.landmarks.generator import LandmarkGenerator, build_landmark_generator
from lipsmith.training.device import mixed_precision
from lipsmith.training.landmarks.augment import augment
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.landmarks.sampler import Window, draw, load_footage
from lipsmith.training.landmarks.stages import as_backend
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.landmarks import landmark_loss
from lipsmith.training.task import Task


class LandmarkTask(Task[Window]):
    """Trains `LandmarkGenerator`."""

    name = "landmarks"

    def __init__(self, config: LandmarkTraining) -> None:
        self.config: LandmarkTraining = config
        self.samples = config.batch
        loss = config.loss
        self.weights = {"l1": loss.l1, "velocity": loss.velocity, "concordance": loss.concordance}

    def load(self, data: Path, device: torch.device) -> str:
        """Trials of `val`, all frames of `train`. Raises InputError where a face is never seen for long enough."""
        self.trials = load_trials(data, "val", self.config.model.references)
        if not self.trials:
            raise InputError(f"{data}: no clip of val shows a face where it is measured; prepare other footage")
        self.footage = load_footage(data, "train", self.config.model.window, self.config.augment.shifts, device)
        self.precision = mixed_precision(device)
        return f"{len(self.footage.window_first)} windows, {len(self.trials)} clips to validate on"

    def build(self) -> LandmarkGenerator:
        """The generator, all of which is kept."""
        return build_landmark_generator(self.config.model)

    def identity(self) -> dict[str, Any]:
        """The architecture."""
        return {"model": asdict(self.config.model)}

    def batch(self, random: torch.Generator) -> Window:
        """Windows with a random number of references, varied."""
        config, most = self.config, self.config.model.references
        # Drawn on the CPU: a shape must not wait for the device.
        count = int(torch.randint(min(config.references.fewest, most), most + 1, ()))
        window = draw(self.footage, config.batch, config.model.window, count, config.references, random)
        return augment(window, config.augment, random)

    def losses(self, network: nn.Module, batch: Window, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        """The terms of `landmark_loss`."""
        with self.precision:
            content = network(batch.speech, batch.points[:, :, :NUM_POSE], batch.references)
        return landmark_loss(content.float(), batch.points[:, :, NUM_POSE:], self.config.loss)

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """Figures of the strict protocol, and `score`, by which the best weights are chosen.

        The score is r, plus the share of the mean references' L1 that is saved, less what the amplitude falls short
        of 0.9: r alone does not mind a mumbling mouth.
        """
        assert isinstance(averaged, LandmarkGenerator)
        stages = as_backend(averaged)
        judged = ([trial for trial in self.trials if trial.strict] or self.trials)[:trials]
        rows = [measure(stages, trial, self.config.model.window) for trial in judged]
        figures = total(rows, [trial.record.identity for trial in judged])
        saved = 1 - figures["l1_percent"] / max(figures["mean.l1_percent"], 1e-9)
        mumble = max(0.0, 0.9 - figures.get("amplitude", 0.0))
        return {"score": figures.get("opening_r", 0.0) + saved - mumble, **figures}
