"""What `lipsmith train sync` reads from its TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field

from lipsmith.models.sync.syncnet import SyncNetConfig
from lipsmith.training.task import TrainingConfig


@dataclass(frozen=True)
class SyncTraining(TrainingConfig):
    """A run of the lip-sync judge's training."""

    model: SyncNetConfig = field(default_factory=SyncNetConfig)
    """The network."""
    steps: int = 8000
    """Optimizer steps, at most."""
    batch: int = 64
    """Stretches per step."""
    length: int = 20
    """Mouth windows of a stretch."""
    margin: int = 10
    """Further speech windows on both sides, all of them negatives."""
    spared: int = 1
    """Shifts up to this are neither right nor wrong."""
    learning_rate: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.05
    """Of AdamW."""
    batch_weight: float = 0.1
    """Weight of the term that sets clips apart from each other."""
    realign: tuple[float, ...] = (0.3, 0.6)
    """Shares of the run after which the offsets of the footage are estimated anew."""
    validate_every: int = 400
    """Steps between validations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.batch, self.length, self.margin) < 1:
            raise ValueError("batch, length and margin are at least 1")
