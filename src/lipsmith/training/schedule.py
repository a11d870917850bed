"""What moves the weights besides the optimizer: the learning rate's schedule, and the averaged weights."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn


class Schedule:
    """How much of a run is done, and the learning rate there: linear warm-up, then a cosine down to a hundredth.

    A run ends after `steps` steps or `minutes` of wall-clock time (None: no such limit), whichever comes first; the
    cosine follows the nearer of the two, so that a run of N minutes ends annealed on any machine.
    """

    def __init__(self, steps: int, minutes: float | None = None, warmup: int = 0) -> None:
        self.steps, self.minutes, self.warmup = steps, minutes, warmup
        self._spent = 0.0
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Minutes trained so far, those before a resume included."""
        return self._spent + (time.monotonic() - self._started) / 60

    def progress(self, step: int) -> float:
        """Share of the run that is done, 0..1."""
        by_time = self.elapsed / self.minutes if self.minutes else 0.0
        return min(1.0, max(step / self.steps, by_time))

    def scale(self, step: int, done: float) -> float:
        """Factor (0, 1] on the learning rate at a step where `done` of the run is done."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def state_dict(self) -> dict[str, float]:
        """What a resumed run must know: the minutes already spent."""
        return {"elapsed": self.elapsed}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from `state_dict`."""
        self._spent, self._started = float(state["elapsed"]), time.monotonic()


class Ema:
    """Exponential moving average of a module's weights, which generalizes better than the last step's.

    `module` is a copy that holds the averages, in evaluation mode.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.module = deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the module's present weights; faster at first, so that the initial weights fade."""
        self.updates += 1
        rate = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, means, values = self.module.state_dict(), [], []
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                means.append(averages[name])
                values.append(value.detach())
            else:
                averages[name].copy_(value)
        torch._foreach_lerp_(means, values, rate)

    def state_dict(self) -> dict[str, Any]:
        """Weights and number of updates."""
        return {"updates": self.updates, "weights": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`, on the device where the weights already are."""
        self.updates = int(state["updates"])
        self.module.load_state_dict(state["weights"])


def drop_nonfinite_gradients(module: nn.Module) -> None:
    """Set gradients that overflowed to zero: one bad batch must not cost the run its weights."""
    for parameter in module.parameters():
        if parameter.grad is not None:
            torch.nan_to_num_(parameter.grad, 0.0, 0.0, 0.0)
