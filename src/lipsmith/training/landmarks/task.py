"""The training task of the landmark generator."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lipsmith.data.clips import read_manifest
from lipsmith.data.phonemes import clip_phonemes
from lipsmith.errors import InputError, counted
from lipsmith.evaluation.landmarks import Trial, leak_r, load_trials, measure, strangers, total
from lipsmith.evaluation.metrics.closure import pooled
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.inference.model_folder import read_card
from lipsmith.models.landmarks.generator import LandmarkGenerator, LandmarkTransformer
from lipsmith.training.checkpoint import save_weights
from lipsmith.training.device import channels_last, mixed_precision
from lipsmith.training.landmarks.augment import augment, exchange_pose
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.landmarks.fit_placement import fit_placement
from lipsmith.training.landmarks.learner import Learner
from lipsmith.training.landmarks.sampler import Window, draw, load_footage
from lipsmith.training.landmarks.stages import as_backend, load_trained
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.landmarks import TERMS, landmark_loss, phoneme_error
from lipsmith.training.task import Task

_LOG = logging.getLogger(__name__)


class LandmarkTask(Task[Window]):
    """Trains `LandmarkGenerator`."""

    name = "landmarks"

    def __init__(self, config: LandmarkTraining) -> None:
        self.config: LandmarkTraining = config
        self.samples = config.batch
        loss = config.loss
        self.weights = {name: getattr(loss, name) for name in TERMS}

    def load(self, data: Path, device: torch.device) -> str:
        """Load trials of `val` and all frames of `train`. Raises InputError if no face is visible for long enough."""
        config, self._data = self.config, data
        spoken = clip_phonemes(data, read_manifest(data, "val")) if config.needs_phonemes else {}
        self.trials = list(load_trials(data, "val", config.model.references, spoken))
        if not self.trials:
            raise InputError(f"{data}: no clip of val shows a face in its measured frames; prepare other footage.")
        window, shifts = config.model.window, config.augment.shifts
        self.footage = load_footage(data, window, shifts, device, config.needs_phonemes)
        self.precision = mixed_precision(device)
        clips = counted(len(self.trials), "clip")
        return f"{len(self.footage.window_first)} windows, {clips} to validate on"

    def build(self) -> Learner:
        """The generator, with the parts that only training needs."""
        learner = Learner(self.config)
        self.transformer = cast(LandmarkTransformer, learner.generator.transformer)
        return learner

    def thaw(self, module: nn.Module) -> None:
        """Levels of the speech encoder are frozen for what they have learned."""
        assert isinstance(module, Learner)
        module.thaw()

    def exported(self, module: nn.Module) -> nn.Module:
        """The generator."""
        assert isinstance(module, Learner)
        return module.generator

    def prepare(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Use channels-last memory, which makes convolutions faster on a CPU."""
        return channels_last(module, device) if device.type == "cpu" else module

    def identity(self) -> dict[str, Any]:
        """The architecture."""
        return {"model": asdict(self.config.model), "phonemes": bool(self.config.loss.phonemes)}

    def batch(self, random: torch.Generator) -> Window:
        """Augmented windows with a random number of references."""
        config = self.config
        window = augment(self.drawn(config.batch, random), config.augment, random)
        return exchange_pose(window, config.augment, self.transformer.unspoken, random)

    def drawn(self, count: int, random: torch.Generator) -> Window:
        """`count` windows as filmed, with a random number of references."""
        rules, model = self.config.references, self.config.model
        # Drawn on the CPU, because a shape must not wait for the device.
        chance, most = float(torch.rand(())), model.references
        references = int(torch.randint(min(rules.fewest, most), most + 1, ()))
        if chance < rules.full + rules.single:
            references = most if chance < rules.full else 1
        return draw(self.footage, count, model.window, references, rules, random)

    def losses(self, network: nn.Module, batch: Window, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        """The terms of `landmark_loss`."""
        with self.precision:
            content, logits = network(batch.speech, batch.points[:, :, :NUM_POSE], batch.references)
        terms = landmark_loss(content.float(), batch.points[:, :, NUM_POSE:], self.config.loss, batch.bilabial)
        if logits is not None:
            terms["phonemes"] = phoneme_error(logits.float(), batch.phonemes)
        return terms

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """Figures of the strict protocol, and `score`, which selects the best weights."""
        generator = self.exported(averaged)
        assert isinstance(generator, LandmarkGenerator)
        return self._figures(generator, trials)

    def finish(self, folder: Path) -> dict[str, float]:
        """Fit the `Placement` of the best weights, if the model has one; if that raises the score, write the weights
        and return new figures."""
        if not self.config.model.placed:
            return {}
        network, model = load_trained(folder)
        card = read_card(folder, self.name)
        clips, before = fit_placement(network, self.filmed(), model.window), card["validation"][self.best_by]
        figures = self._figures(network)
        gain = figures[self.best_by] - before
        _LOG.info("placed by %d clips: score %.4g instead of %.4g", clips, figures[self.best_by], before)
        if gain <= 0:
            _LOG.info("the placement stays as it was, which suits val better")
            return {}
        save_weights(folder / self.name, network.state_dict(), card | {"validation": card["validation"] | figures})
        return figures

    def filmed(self) -> Iterator[Trial]:
        """Trials of the training clips, with the speech that the network hears."""
        return load_trials(self._data, "train", self.config.model.references)

    def _figures(self, generator: LandmarkGenerator, trials: int | None = None) -> dict[str, float]:
        stages, window = as_backend(generator), self.config.model.window
        judged = ([trial for trial in self.trials if trial.strict] or self.trials)[:trials]
        rows = [
            measure(stages, trial, window) | {"leak_r": leak_r(stages, trial, _some_strangers(judged, index), window)}
            for index, trial in enumerate(judged)
        ]
        figures = total(rows, [trial.record.identity for trial in judged]) | pooled(rows)
        return {"score": score(figures), **figures}


def score(figures: Mapping[str, float]) -> float:
    """One score for the quality of lip motion; higher is better.

    r, the share of the mean references' L1 that is saved, and half of the closure at p, b and m as far as true lips
    close; less what the amplitude falls short of 0.9 (r alone does not mind a mumbling mouth), twice the leak beyond
    0.05, a fifth of the opening in silence beyond 0.6 %, and what open vowels close more often than truth by over 0.1.
    """

    def of(name: str) -> float:
        return figures.get(name, 0.0)

    saved = 1 - of("l1_percent") / max(of("mean.l1_percent"), 1e-9)
    wanted = of("opening_r") + saved + 0.5 * min(of("closure"), of("truth.closure"))
    faults = (
        max(0.0, 0.9 - of("amplitude")),
        2 * max(0.0, abs(of("leak_r")) - 0.05),
        0.2 * max(0.0, of("silence_opening") - 0.6),
        max(0.0, of("closure_open") - of("truth.closure_open") - 0.1),
    )
    return wanted - sum(faults)


def _some_strangers(trials: list[Trial], index: int) -> list[NDArray[np.float32]]:
    """The speech of three other people, different for each trial, because all of them would take minutes."""
    others = strangers(trials, trials[index].record.identity)
    return [others[(7 * index + 5 * step) % len(others)] for step in range(3)] if others else []
