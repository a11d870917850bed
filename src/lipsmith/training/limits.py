"""Ranges of the settings that all training configs share."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from lipsmith.config import require_range

if TYPE_CHECKING:
    from lipsmith.training.task import TrainingConfig


def require_common_ranges(config: TrainingConfig) -> None:
    """Raise ValueError for a common setting outside its range."""
    rates = ("learning_rate", "weight_decay", "gradient_clip")
    require_range(config, 0, inf, *rates, "warmup", "checkpoint_minutes", "seed")
    require_range(config, 0, 1, "ema")
