"""The TOML config of `lipsmith train landmarks`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from lipsmith.config import require_range
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.training.landmarks.augment import Augmentation
from lipsmith.training.landmarks.sampler import ReferenceRules
from lipsmith.training.losses.landmarks import LandmarkLossWeights
from lipsmith.training.task import TrainingConfig


@dataclass(frozen=True)
class LandmarkTraining(TrainingConfig):
    """Config of a training run of the landmark generator."""

    model: LandmarkConfig = field(default_factory=LandmarkConfig)
    """Sizes of the network."""
    loss: LandmarkLossWeights = field(default_factory=LandmarkLossWeights)
    """Weights of the loss terms."""
    augment: Augmentation = field(default_factory=Augmentation)
    """Augmentation of the footage."""
    references: ReferenceRules = field(default_factory=ReferenceRules)
    """Sampling of training references."""
    steps: int = 610_000
    """Optimizer steps, at most."""
    batch: int = 128
    """Windows per step and device."""
    warmup: int = 500
    """Steps of linear warm-up."""
    frozen: int = 0
    """Levels of the mel encoder that a run with a start does not train; the first two take half of a step's time."""

    @property
    def needs_phonemes(self) -> bool:
        """Whether a loss needs the phonemes."""
        return bool(self.loss.plosive or self.loss.phonemes)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 1, inf, "batch")
        require_range(self, 0, inf, "frozen")
