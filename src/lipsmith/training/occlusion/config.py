"""The TOML config of `lipsmith train occlusion`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from lipsmith.config import require_range
from lipsmith.models.occlusion import OcclusionConfig
from lipsmith.training.task import TrainingConfig


@dataclass(frozen=True)
class OcclusionTraining(TrainingConfig):
    """Config of a training run of the occlusion network."""

    model: OcclusionConfig = field(default_factory=OcclusionConfig)
    """The network."""
    drawn_by: str = "fast"
    """The model that draws the new mouths, by name or folder."""
    frames: int = 24
    """Frames drawn of each clip."""
    clips: int = 8
    """Clips drawn of each person, at most."""
    captions: int = 3000
    """Captions drawn, each twice, to choose from."""
    batch: int = 48
    """Pictures per step."""
    clean_share: float = 0.35
    """Share of the pictures in which nothing lies before the face."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 0, 1, "clean_share")
        require_range(self, 1, inf, "frames", "clips", "captions")
        if self.batch < 2:
            raise ValueError("batch normalization needs two pictures: batch is at least 2")
