"""The state of a training run, which a checkpoint saves and resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from lightning_fabric import Fabric

from lipsmith.config import renamed
from lipsmith.errors import UsageError
from lipsmith.training.checkpoint import load_initial_weights, rng_state, set_rng_state
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.schedule import Ema, Schedule
from lipsmith.training.task import Task

_OF_THE_RUN: Final = ("steps", "minutes", "patience", "validate_every", "log_every", "checkpoint_minutes")
"""Settings that may change from one call to the next without a remark: how long, how often."""


class State:
    """The state of a run that a checkpoint saves."""

    def __init__(self, fabric: Fabric, task: Task[Any], start: str | None, fresh: bool) -> None:
        """`fresh`: nothing of the network was trained before this run."""
        config, device = task.config, fabric.device
        torch.manual_seed(config.seed)
        self.task, self.start = task, start
        self.module = task.build().to(device)
        if fresh:
            task.thaw(self.module)
        if start is not None:
            load_initial_weights(task.exported(self.module), start, task.name)
        prepared = task.prepare(self.module, device)
        self.ema = Ema(self.module, config.ema)
        trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, config.learning_rate, weight_decay=config.weight_decay, fused=device.type == "cuda"
        )
        self.network: Any
        self.optimizer: Any
        self.network, self.optimizer = fabric.setup(prepared, optimizer)
        opponent = task.discriminator()
        self.adversary = Adversary(*fabric.setup(*opponent)) if opponent else None
        self.schedule = Schedule(config.steps, config.minutes, config.warmup)
        # Every process draws different samples; the generators of the first process are saved.
        self.is_first = fabric.is_global_zero
        self.seed, self.processes = config.seed + fabric.global_rank, fabric.world_size
        self.random = torch.Generator(device).manual_seed(self.seed)
        torch.manual_seed(self.seed)
        self.step, self.validated = 0, 0
        self.lost = torch.zeros((), dtype=torch.long, device=device)
        """Steps in a row, up to the last one, whose loss is not a number."""
        self.best: dict[str, float] = {}
        self.finished: dict[str, float] = {}
        """What finishing the best weights changed of their figures."""
        self.footage = ""
        """What the task loaded."""

    @property
    def done(self) -> float:
        """Completed share of the run, 0..1."""
        return self.schedule.progress(self.step)

    @property
    def stands_still(self) -> bool:
        """Whether the last validations, `patience` of them, were not better than an earlier one."""
        config = self.task.config
        since_best = self.validated - self.best.get("step", 0.0)
        return config.patience is not None and since_best >= config.patience * config.validate_every

    def set_learning_rate(self, done: float) -> None:
        """Set the scheduled learning rates, including the adversary's, for the completed share `done`."""
        rate = self.task.config.learning_rate * self.schedule.scale(self.step, done)
        optimizers = [self.optimizer, *([self.adversary.optimizer] if self.adversary else [])]
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """The content of a checkpoint."""
        return {
            "identity": self.task.identity(),
            "network": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state_dict() if self.adversary else None,
            "ema": self.ema.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": rng_state(self.random),
            "task": self.task.state_dict(),
            "step": self.step,
            "validated": self.validated,
            "best": self.best,
            "finished": self.finished,
            "start": self.start,
            "given": self._given(),
        }

    def changes(self, saved: Mapping[str, Any]) -> list[str]:
        """What differs from the run that saved a checkpoint: settings of the config, and the footage."""
        given = self._given()
        before = renamed(saved.get("given", given))  # earlier versions did not note it
        return [name for name, value in given.items() if before.get(name) != value and name not in _OF_THE_RUN]

    def _given(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(json.dumps(asdict(self.task.config)))
        return config | {"footage": self.footage}

    def load_state_dict(self, saved: Mapping[str, Any], path: Path) -> None:
        """Restore a `state_dict`. Raises UsageError for the checkpoint of a run with another identity."""
        identity = renamed(saved.get("identity", {}))
        for name, value in self.task.identity().items():
            if identity.get(name) != value:
                raise UsageError(f"{path} belongs to a run with another '{name}'; choose another run folder.")
        self.module.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.adversary and saved["adversary"]:
            self.adversary.load_state_dict(saved["adversary"])
        self.ema.load_state_dict(saved["ema"])
        self.schedule.load_state_dict(saved["schedule"])
        self.task.load_state_dict(saved["task"])
        self.step, self.validated = saved["step"], saved["validated"]
        if self.is_first:
            set_rng_state(self.random, saved["random"])
        else:  # a seed that no process had before, so that none draws its samples again
            seed = self.seed + self.processes * self.step
            self.random.manual_seed(seed)
            torch.manual_seed(seed)
        self.best, self.start = saved["best"], saved["start"]
        self.finished = saved.get("finished", {})
