"""The TOML config of `lipsmith train sync`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from lipsmith.config import require_range
from lipsmith.models.sync.syncnet import SyncNetConfig
from lipsmith.training.task import TrainingConfig


@dataclass(frozen=True)
class SyncTraining(TrainingConfig):
    """Config of a training run of the lip-sync judge."""

    model: SyncNetConfig = field(default_factory=SyncNetConfig)
    """The network."""
    steps: int = 8000
    """Optimizer steps, at most."""
    batch: int = 64
    """Stretches per step."""
    length: int = 20
    """Mouth windows per stretch."""
    margin: int = 10
    """Additional speech windows on both sides, all of them negatives."""
    spared: int = 1
    """Shifts up to this many frames are neither positives nor negatives."""
    learning_rate: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.05
    """Weight decay of AdamW."""
    batch_weight: float = 0.1
    """Weight of the term that contrasts clips with each other."""
    realign: tuple[float, ...] = (0.3, 0.6)
    """Shares of the run after which the offsets of the footage are re-estimated."""
    validate_every: int = 400
    """Steps between validations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 1, inf, "batch", "length", "margin")
        require_range(self, 0, inf, "spared", "batch_weight")
        require_range(self, 0, 1, "realign")
