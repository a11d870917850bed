"""The training loop of every network: `fit`, and the state that it saves and resumes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from lightning_fabric import Fabric
from torch import Tensor

from lipsmith.disk import folder_lock
from lipsmith.errors import UsageError
from lipsmith.progress import Progress
from lipsmith.training.checkpoint import (
    CHECKPOINT,
    load_checkpoint,
    load_initial_weights,
    rng_state,
    save_checkpoint,
    set_rng_state,
)
from lipsmith.training.device import make_fabric
from lipsmith.training.interruption import Interruption
from lipsmith.training.log import Log, Meter
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.schedule import Ema, Schedule, drop_nonfinite_gradients
from lipsmith.training.task import Task

PARTS = 1000
"""The total that `fit` passes to its progress callback."""
_OF_THE_RUN: Final = ("steps", "minutes", "patience", "validate_every", "log_every", "checkpoint_minutes")
"""Settings that may change from one call to the next without a remark: how long, how often."""


@dataclass(frozen=True)
class Settings:
    """Inputs, outputs and device of a run; the task's config defines the training itself."""

    data: Path
    """Prepared clips."""
    out: Path
    """Folder of the run."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:i."""
    start: str | None = None
    """Start from the network of this run or model, by folder or name."""


def fit(task: Task[Any], settings: Settings, progress: Progress = lambda done, total: None) -> dict[str, float]:
    """Train on the split `train` of prepared clips, validate on `val`; returns the figures of the best weights.

    `settings.out` gets NAME.safetensors and NAME.json (best averaged weights; config and figures), checkpoint.pt,
    log.jsonl and TensorBoard curves. If that folder has a checkpoint, the run continues from it. The weights of a
    `start` are validated too, and kept if the training gains nothing. `progress` is called after every step. Ctrl-C
    ends the step and saves a checkpoint before it is raised. Raises InputError for unusable clips, UsageError for a
    checkpoint or start of another network, or if another run uses the folder.
    """
    fabric = make_fabric(settings.device)
    torch.set_float32_matmul_precision("high")
    loaded = task.load(settings.data, fabric.device)
    with _folder_of(settings.out, fabric):
        state, remark = _begin(fabric, task, settings, loaded)
        with closing(Log(settings.out if fabric.is_global_zero else None, state.step)) as log:
            log.say(f"{loaded}; from step {state.step}{remark}")
            _train(fabric, task, state, log, settings.out, progress)
            if not fabric.is_global_zero:
                return state.best
            save_checkpoint(settings.out / CHECKPOINT, state.state_dict())
            if finished := task.finish(settings.out):
                log.add("val", finished, state.step, state.schedule.elapsed)
            return state.best | finished


def _folder_of(out: Path, fabric: Fabric) -> AbstractContextManager[None]:
    """Holds the folder of the run, which is created if it is missing, in the first process."""
    if not fabric.is_global_zero:
        return nullcontext()
    out.mkdir(parents=True, exist_ok=True)
    return folder_lock(out, "training")


def _train(fabric: Fabric, task: Task[Any], state: State, log: Log, out: Path, progress: Progress) -> None:
    """Train until the end of the schedule, or until the validations stand still."""
    config = task.config
    if state.start is not None and state.step == 0:
        _validate(fabric, task, state, log, out)  # so that a run is never worse than its start
    elif fabric.is_global_zero:
        _validated(task, state, trials=2)  # validation errors should appear now, not after an hour
    meter, saved_at = Meter(fabric.device), time.monotonic()
    with Interruption() as interruption:
        while (done := _done(fabric, state)) < 1 and not state.stands_still:
            terms = _step(fabric, task, state, meter, done)
            if state.step % config.log_every == 0:
                _report_training(log, state, terms, meter)
            if remark := task.after_step(state.ema.module, done, state.best):
                log.say(remark)
            if state.step % config.validate_every == 0:
                _validate(fabric, task, state, log, out)
                meter.read()
            due = interruption.asked or time.monotonic() - saved_at > 60 * config.checkpoint_minutes
            if due and fabric.is_global_zero:
                save_checkpoint(out / CHECKPOINT, state.state_dict())
                saved_at = time.monotonic()
            if interruption.asked:
                log.say(f"stopped after step {state.step}; the same command continues from there")
                raise KeyboardInterrupt
            if fabric.is_global_zero:
                progress(int(PARTS * state.done), PARTS)
    if state.validated < state.step:
        _validate(fabric, task, state, log, out)


def _step(fabric: Fabric, task: Task[Any], state: State, meter: Meter, done: float) -> dict[str, Tensor]:
    """One step of the optimizer; returns its loss terms."""
    state.set_learning_rate(done)
    with meter.data(), torch.no_grad():
        batch = task.batch(state.random)
    state.network.train()
    terms = task.losses(state.network, batch, done, state.adversary)
    fabric.backward(_weighted_sum(terms, task.weights))
    norm = task.config.gradient_clip
    fabric.clip_gradients(state.network, state.optimizer, max_norm=norm, error_if_nonfinite=False)
    drop_nonfinite_gradients(state.module)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.ema.update(state.module)
    state.step += 1
    meter.add(task.samples * fabric.world_size)
    return terms


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
        # Every process draws different samples; the generator of the first process is saved.
        self.is_first = fabric.is_global_zero
        self.random = torch.Generator(device).manual_seed(config.seed + fabric.global_rank)
        torch.manual_seed(config.seed + fabric.global_rank)
        self.step, self.validated = 0, 0
        self.best: dict[str, float] = {}
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
            "start": self.start,
            "given": self._given(),
        }

    def changes(self, saved: Mapping[str, Any]) -> list[str]:
        """What differs from the run that saved a checkpoint: settings of the config, and the footage."""
        given = self._given()
        before = saved.get("given", given)  # earlier versions did not note it
        return [name for name, value in given.items() if before.get(name) != value and name not in _OF_THE_RUN]

    def _given(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(json.dumps(asdict(self.task.config)))
        return config | {"footage": self.footage}

    def load_state_dict(self, saved: Mapping[str, Any], path: Path) -> None:
        """Restore a `state_dict`. Raises UsageError for the checkpoint of a run with another identity."""
        for name, value in self.task.identity().items():
            if saved.get("identity", {}).get(name) != value:
                raise UsageError(f"{path} belongs to a run with another '{name}'; choose another run folder.")
        self.module.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.adversary and saved["adversary"]:
            self.adversary.load_state_dict(saved["adversary"])
        self.ema.load_state_dict(saved["ema"])
        self.schedule.load_state_dict(saved["schedule"])
        self.task.load_state_dict(saved["task"])
        if self.is_first:
            set_rng_state(self.random, saved["random"])
        self.step, self.validated = saved["step"], saved["validated"]
        self.best, self.start = saved["best"], saved["start"]


def _begin(fabric: Fabric, task: Task[Any], settings: Settings, footage: str) -> tuple[State, str]:
    """The state from the checkpoint, else from `start`, else from random weights; and a remark for the log."""
    path = settings.out / CHECKPOINT
    saved = load_checkpoint(path)
    start = settings.start if saved is None else None
    state = State(fabric, task, start, fresh=(settings.start if saved is None else saved["start"]) is None)
    state.footage = footage
    if saved is None:
        return state, ""
    state.load_state_dict(saved, path)
    remark = "".join(f"; another {name} than before" for name in state.changes(saved))
    if settings.start is not None:
        remark += f"; {settings.out} continues from its checkpoint, so --start {settings.start} is ignored"
    return state, remark


def _done(fabric: Fabric, state: State) -> float:
    """Completed share of the run by the clock of the first process, so that all processes use the same learning
    rate."""
    return float(fabric.broadcast(state.done)) if fabric.world_size > 1 else state.done


def _weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    return torch.stack([weights[name] * value for name, value in terms.items() if name in weights]).sum()


def _report_training(log: Log, state: State, terms: Mapping[str, Tensor], meter: Meter) -> None:
    losses, speed = {name: float(value.detach()) for name, value in terms.items()}, meter.read()
    rate = {"learning_rate": state.optimizer.param_groups[0]["lr"]}
    log.add("train", losses | speed | rate, state.step, state.schedule.elapsed)
    pace = f"{speed['samples_per_second']:.0f} samples/s, data {speed['data_share']:.1%}"
    log.say(f"step {state.step} ({state.done:.0%}): {_listed(losses)}; {pace}")


def _validate(fabric: Fabric, task: Task[Any], state: State, log: Log, out: Path) -> None:
    """Validate the averaged weights in the first process; save them if they are the best so far."""
    if fabric.is_global_zero:
        figures = _validated(task, state)
        log.add("val", figures, state.step, state.schedule.elapsed)
        log.say(f"val at {state.step}: {_listed({name: x for name, x in figures.items() if '.' not in name})}")
        if (picture := task.picture(state.ema.module)) is not None:
            log.picture("val", picture, state.step)
        if figures[task.best_by] > state.best.get(task.best_by, -math.inf):
            state.best = figures | {"step": float(state.step)}
            training = asdict(task.config) | {"start": state.start}
            card = {"training": training, "validation": state.best, "footage": state.footage}
            task.save(out, state.ema.module, card)
    state.best, state.validated = fabric.broadcast(state.best), state.step


@torch.no_grad()
def _validated(task: Task[Any], state: State, trials: int | None = None) -> dict[str, float]:
    return task.validate(state.ema.module, trials)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
