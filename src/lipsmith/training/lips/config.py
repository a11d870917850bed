"""The TOML config of `lipsmith train lips`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from lipsmith.config import require_range
from lipsmith.models.lip_detector import LipDetectorConfig
from lipsmith.training.task import TrainingConfig


@dataclass(frozen=True)
class LipsTraining(TrainingConfig):
    """Config of a training run of the lip detector."""

    model: LipDetectorConfig = field(default_factory=LipDetectorConfig)
    """The network."""
    batch: int = 128
    """Crops per step."""
    gap_weight: float = 1.0
    """Weight of the error of the nine gaps between the lips, beside that of the points."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 0, inf, "gap_weight")
        if self.batch < 2:
            raise ValueError("batch normalization needs two crops: batch is at least 2")
