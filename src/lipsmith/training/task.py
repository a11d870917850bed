"""The interface between the training loop and a network to train."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lipsmith.config import require_range
from lipsmith.training.checkpoint import save_weights
from lipsmith.training.losses.adversarial import Adversary

B = TypeVar("B")
MOST_SEED: Final = 10**15
"""The largest seed; torch takes none above 2^64."""


@dataclass(frozen=True)
class TrainingConfig:
    """Common settings of all training configs."""

    steps: int = 20_000
    """Optimizer steps, at most."""
    minutes: float | None = None
    """Wall-clock limit; the learning rate is annealed toward the nearer of the two limits."""
    learning_rate: float = 1e-4
    """Highest learning rate of AdamW."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    warmup: int = 200
    """Steps of linear warm-up."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the averaged weights, which are validated and saved."""
    validate_every: int = 1000
    """Steps between validations."""
    patience: int | None = None
    """Stop after this many validations without a better one; None for never."""
    log_every: int = 100
    """Steps between log lines."""
    checkpoint_minutes: float = 3.0
    """Minutes between checkpoints."""
    seed: int = 0
    """Seed of weights and samples."""

    def __post_init__(self) -> None:
        if min(self.steps, self.validate_every, self.log_every, 1 if self.patience is None else self.patience) < 1:
            raise ValueError("steps, validate_every, log_every and patience are at least 1")
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError("minutes must be above 0")
        if self.gradient_clip <= 0:
            raise ValueError("gradient_clip must be above 0, or nothing would be trained")
        require_range(self, 0, inf, "learning_rate", "weight_decay", "warmup", "checkpoint_minutes")
        require_range(self, 0, 1, "ema")
        require_range(self, 0, MOST_SEED, "seed")


class Task(Protocol[B]):
    """One network to train: `fit` calls `load` and `build` once, `batch` and `losses` at every step.

    `module` is the result of `build`; `network` is the same module inside the wrappers of Fabric and possibly
    torch.compile, as called in training; `averaged` is a copy with the averaged weights.
    """

    name: str
    """Name of the network. Its weights are NAME.safetensors, described by NAME.json."""
    config: TrainingConfig
    weights: Mapping[str, float]
    """Weights of the terms that `losses` returns; a term without a weight is logged but not minimized."""
    samples: int
    """Samples in a batch of one process."""
    best_by: str = "score"
    """The figure of `validate` that selects the best weights; higher is better."""

    @abstractmethod
    def load(self, data: Path, device: torch.device) -> str:
        """Read the splits `train` and `val` of prepared clips; returns a description for the log.

        Raises InputError for a split without usable clips.
        """

    @abstractmethod
    def build(self) -> nn.Module:
        """The module to train, with random weights; frozen parameters do not require a gradient."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Settings, by name, that must match to resume from a checkpoint: at least the network's `model` config."""

    @abstractmethod
    def batch(self, random: torch.Generator) -> B:
        """A random, augmented batch on the device."""

    @abstractmethod
    def losses(self, network: nn.Module, batch: B, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        """The loss terms by name; `done` is the completed share of the run, 0..1."""

    @abstractmethod
    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """Figures by name on the split `val`, including `best_by`; `trials` limits the number of clips."""

    def thaw(self, module: nn.Module) -> None:
        """Let all of a module be trained: called before a run that starts from random weights."""
        return

    def exported(self, module: nn.Module) -> nn.Module:
        """The part of a module to save, without parts that are needed only in training."""
        return module

    def prepare(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module in its fastest form on the device (memory layout, compilation)."""
        return module

    def discriminator(self) -> tuple[nn.Module, Optimizer] | None:
        """A discriminator and its optimizer, if there is an adversary."""
        return None

    def after_step(self, averaged: nn.Module, done: float, best: Mapping[str, float]) -> str | None:
        """A hook after each step; returns a message for the log, or None if it did nothing."""
        return None

    def picture(self, averaged: nn.Module) -> Tensor | None:
        """A picture `(3, H, W)` in [0, 1] to log after a validation."""
        return None

    def save(self, folder: Path, averaged: nn.Module, card: Mapping[str, Any]) -> None:
        """Write the best weights so far into the run's folder."""
        save_weights(folder / self.name, self.exported(averaged).state_dict(), card)

    def finish(self, folder: Path) -> dict[str, float]:
        """Complete the files of a finished run; returns the figures of the best weights that this changes."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The task's own state for a resume."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        return
