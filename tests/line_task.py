"""A small training task, and what its runs leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipsmith.training.loop import Settings
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.task import Task, TrainingConfig

CONFIG = TrainingConfig(
    steps=12, learning_rate=0.1, warmup=2, ema=0.5, validate_every=5, log_every=3, checkpoint_minutes=0.0
)


class Line(Task[Tensor]):
    """Learns y = 2 x from random x; counts the batches it drew."""

    name = "line"
    weights: Mapping[str, float] = {"l1": 1.0}
    samples = 4

    def __init__(self, config: TrainingConfig = CONFIG, inputs: int = 1) -> None:
        self.config, self.inputs = config, inputs
        self.drawn = 0
        self.trials: list[int | None] = []
        self.seeds: list[int] = []

    def load(self, data: Path, device: torch.device) -> str:
        return "a line"

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Linear(self.inputs, 1), nn.Dropout(0.1))

    def identity(self) -> dict[str, Any]:
        return {"model": {"inputs": self.inputs}}

    def batch(self, random: torch.Generator) -> Tensor:
        self.drawn += 1
        self.seeds.append(random.initial_seed())
        return torch.randn(self.samples, self.inputs, generator=random)

    def losses(self, network: nn.Module, batch: Tensor, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        return {"l1": (network(batch) - 2 * batch).abs().mean(), "unweighted": torch.tensor(done)}

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        self.trials.append(trials)
        return {"score": -float((averaged.get_parameter("0.weight") - 2).abs().mean()), "beside.score": 0.0}

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.drawn = state["drawn"]


def at(folder: Path, **changes: str) -> Settings:
    return Settings(folder, folder, "cpu", **changes)


def rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
