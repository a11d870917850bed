"""What the training loop asks of the thing that it trains."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lipsmith.training.checkpoint import save_weights
from lipsmith.training.losses.adversarial import Adversary

B = TypeVar("B")


@dataclass(frozen=True)
class TrainingConfig:
    """What the configs of all trainings have in common."""

    steps: int = 20_000
    """Optimizer steps, at most."""
    minutes: float | None = None
    """Wall-clock limit; the learning rate is annealed towards whichever limit is nearer."""
    learning_rate: float = 1e-4
    """Highest learning rate of AdamW."""
    weight_decay: float = 0.0
    """Of AdamW."""
    warmup: int = 200
    """Steps of linear warm-up."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the averaged weights, which are validated and kept."""
    validate_every: int = 1000
    """Steps between validations."""
    log_every: int = 100
    """Steps between log lines."""
    checkpoint_minutes: float = 3.0
    """Minutes between checkpoints."""
    seed: int = 0
    """Of weights and samples."""

    def __post_init__(self) -> None:
        if min(self.steps, self.validate_every, self.log_every) < 1:
            raise ValueError("steps, validate_every and log_every are at least 1")
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError("minutes must be above 0")


class Task(Protocol[B]):
    """One network to train: `fit` calls `load` and `build` once, `batch` and `losses` at every step.

    `module` is what `build` returned; `network` is what `fit` calls in training, the same module inside Fabric's and
    perhaps torch.compile's wrappers; `averaged` is a copy of it that holds the averaged weights.
    """

    name: str
    """Of the network. Its weights are NAME.safetensors, and NAME.json says what they are."""
    config: TrainingConfig
    weights: Mapping[str, float]
    """Factors of the terms that `losses` returns; a term without one is logged and not minimized."""
    samples: int
    """Samples in a batch of one process."""
    best_by: str = "score"
    """The figure of `validate` by which the best weights are chosen; higher is better."""

    @abstractmethod
    def load(self, data: Path, device: torch.device) -> str:
        """Read the splits `train` and `val` of prepared clips; returns what was read, in words.

        Raises InputError for a split without usable clips.
        """

    @abstractmethod
    def build(self) -> nn.Module:
        """What is trained, with random weights; parameters that stay as they are do not require a gradient."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What a run must keep to continue from its checkpoint, by name: at least the network's `model` config."""

    @abstractmethod
    def batch(self, random: torch.Generator) -> B:
        """A random batch on the device, varied for training."""

    @abstractmethod
    def losses(self, network: nn.Module, batch: B, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        """The loss terms by name; `done` is the share of the run that is done, 0..1."""

    @abstractmethod
    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """Figures by name on the split `val`, `best_by` among them; `trials` limits the clips."""

    def exported(self, module: nn.Module) -> nn.Module:
        """Of a module the part that is saved: without what only training needs."""
        return module

    def prepare(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module as it runs fastest on the device: memory layout, compilation."""
        return module

    def discriminator(self) -> tuple[nn.Module, Optimizer] | None:
        """A discriminator with its optimizer, where there is an adversary."""
        return None

    def after_step(self, averaged: nn.Module, done: float, best: Mapping[str, float]) -> str | None:
        """What else a task does between steps; returns what it did, in words, where it did something."""
        return None

    def picture(self, averaged: nn.Module) -> Tensor | None:
        """A picture `(3, H, W)` in [0, 1] to look at after a validation."""
        return None

    def save(self, folder: Path, averaged: nn.Module, card: Mapping[str, Any]) -> None:
        """Write the best weights so far into the run's folder."""
        save_weights(folder / self.name, self.exported(averaged).state_dict(), card)

    def finish(self, folder: Path) -> None:
        """Write what else a finished run leaves in its folder."""
        return

    def state_dict(self) -> dict[str, Any]:
        """What the task itself must remember to continue."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        return
