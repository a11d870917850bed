"""The schedule of the learning rate, and averaged weights."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn


class Schedule:
    """The completed share of a run, and its learning rate: linear warm-up, then a cosine down to a hundredth.

    A run ends after `steps` steps or `minutes` of wall-clock time (None: no such limit), whichever comes first; the
    cosine follows the nearer limit, so that a run of N minutes ends annealed on any machine.
    """

    def __init__(self, steps: int, minutes: float | None = None, warmup: int = 0) -> None:
        self.steps, self.minutes, self.warmup = steps, minutes, warmup
        self._spent = 0.0
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Minutes trained so far, including those before a resume."""
        return self._spent + (time.monotonic() - self._started) / 60

    def progress(self, step: int) -> float:
        """Completed share of the run, 0..1."""
        by_time = self.elapsed / self.minutes if self.minutes else 0.0
        return min(1.0, max(step / self.steps, by_time))

    def scale(self, step: int, done: float) -> float:
        """Factor in (0, 1] on the learning rate at a step, for the completed share `done`."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def state_dict(self) -> dict[str, float]:
        """The minutes already spent, for a resumed run."""
        return {"elapsed": self.elapsed}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore a `state_dict`."""
        self._spent, self._started = float(state["elapsed"]), time.monotonic()


class Ema:
    """Exponential moving average of a module's weights, which generalizes better than the last weights.

    `module` is a copy with the averages, in evaluation mode.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.module = deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Update with the module's current weights; faster at first, so that the initial weights fade."""
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

    @torch.no_grad()
    def restore_buffers(self, module: nn.Module) -> None:
        """Set what overflowed in a module's buffers to the average: batch statistics never forget a bad batch."""
        for value, average in zip(module.buffers(), self.module.buffers(), strict=True):
            value.copy_(torch.where(torch.isfinite(value), value, average))

    def state_dict(self) -> dict[str, Any]:
        """Weights and number of updates."""
        return {"updates": self.updates, "weights": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`, on the device where the weights already are."""
        self.updates = int(state["updates"])
        self.module.load_state_dict(state["weights"])


def drop_nonfinite_gradients(module: nn.Module) -> None:
    """Set overflowed gradients to zero, so that a bad batch does not ruin the weights."""
    for parameter in module.parameters():
        if parameter.grad is not None:
            torch.nan_to_num_(parameter.grad, 0.0, 0.0, 0.0)
