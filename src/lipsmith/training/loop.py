"""The training loop of every network: `fit`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor

from lipsmith.disk import disk_errors, folder_lock
from lipsmith.errors import UsageError
from lipsmith.progress import Progress
from lipsmith.training.checkpoint import CHECKPOINT, checkpoint_errors, load_checkpoint, save_checkpoint
from lipsmith.training.device import make_fabric
from lipsmith.training.interruption import Interruption
from lipsmith.training.log import Log, Meter
from lipsmith.training.schedule import drop_nonfinite_gradients
from lipsmith.training.state import State
from lipsmith.training.task import Task

PARTS = 1000
"""The total that `fit` passes to its progress callback."""
_MOST_LOST: Final = 100
"""Steps in a row whose losses are not numbers, after which a training has diverged."""


@dataclass(frozen=True)
class Settings:
    """Inputs, outputs and device of a run; the task's config defines the training itself."""

    data: Path
    """Prepared clips."""
    out: Path
    """Folder of the run."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    start: str | None = None
    """Start from the network of this run or model, by folder or name."""


def fit(task: Task[Any], settings: Settings, progress: Progress | None = None) -> dict[str, float]:
    """Train on the split `train` of prepared clips, validate on `val`; returns the figures of the best weights.

    `settings.out` gets NAME.safetensors and NAME.json (best averaged weights; config and figures), checkpoint.pt,
    log.jsonl and TensorBoard curves. If that folder has a checkpoint, the run continues from it. The weights of a
    `start` are validated too, and kept if the training gains nothing. `progress` is called after every step. Ctrl-C
    ends the step, or a validation, and saves a checkpoint before it is raised. Raises InputError for unusable clips,
    UsageError for a checkpoint or start of another network, if another run uses the folder, or if the training
    diverges; WeightsError for a damaged checkpoint, or a start whose weights are not numbers.
    """
    fabric = make_fabric(settings.device)
    torch.set_float32_matmul_precision("high")
    with _folder_of(settings.out, fabric):
        loaded = task.load(settings.data, fabric.device)
        state, remark = _begin(fabric, task, settings, loaded)
        with closing(Log(settings.out if fabric.is_global_zero else None, state.step)) as log:
            log.say(f"{loaded}; from step {state.step}{remark}")
            _train(fabric, task, state, log, settings.out, progress)
            if not fabric.is_global_zero:
                return state.best
            save_checkpoint(settings.out / CHECKPOINT, state.state_dict())
            if not state.best:
                raise UsageError(
                    f"{settings.out} has no weights, because {task.best_by} was not a number at any validation; "
                    "train into another folder with a lower learning_rate."
                )
            if not state.finished and (changed := task.finish(settings.out)):
                state.finished = changed
                log.add("val", changed, state.step, state.schedule.elapsed)
                save_checkpoint(settings.out / CHECKPOINT, state.state_dict())
            return state.best | state.finished


@contextmanager
def _folder_of(out: Path, fabric: Fabric) -> Iterator[None]:
    """Holds the folder of the run in the first process. If it is missing it is created, and removed again if nothing
    is written into it."""
    if not fabric.is_global_zero:
        yield
        return
    is_new = not out.exists()
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise UsageError(f"The folder {out} cannot be written to; choose another.")
    with folder_lock(out, "training"):
        try:
            yield
        finally:
            if is_new:
                with suppress(OSError):
                    out.rmdir()


def _train(fabric: Fabric, task: Task[Any], state: State, log: Log, out: Path, progress: Progress | None) -> None:
    """Train until the end of the schedule, or until the validations stand still."""
    config = task.config
    if state.start is not None and state.step == 0:
        _validate(fabric, task, state, log, out)  # so that a run is never worse than its start
    elif fabric.is_global_zero:
        _validated(task, state, trials=2)  # validation errors should appear now, not after an hour
    meter, saved_at = Meter(fabric.device), time.monotonic()
    with Interruption() as interruption:
        while not state.stands_still:
            done, asked = _agreed(fabric, state, interruption.asked)
            if asked:
                _stop(fabric, state, log, out)
            if done >= 1:
                break
            terms = _step(fabric, task, state, meter, done)
            if state.step % config.log_every == 0:
                _report_training(log, state, terms, meter)
                _require_numbers(state, out)
            if remark := task.after_step(state.ema.module, done, state.best):
                log.say(remark)
            if state.step % config.validate_every == 0:
                _validate(fabric, task, state, log, out)
                meter.read()
            if time.monotonic() - saved_at > 60 * config.checkpoint_minutes and fabric.is_global_zero:
                _save_unless_lost(state, out)
                saved_at = time.monotonic()
            if progress is not None and fabric.is_global_zero:
                progress(int(PARTS * state.done), PARTS)
        if state.validated < state.step:
            _validate(fabric, task, state, log, out)
        if _agreed(fabric, state, interruption.asked)[1]:
            _stop(fabric, state, log, out)


def _step(fabric: Fabric, task: Task[Any], state: State, meter: Meter, done: float) -> dict[str, Tensor]:
    """One step of the optimizer; returns its loss terms."""
    state.set_learning_rate(done)
    with meter.data(), torch.no_grad():
        batch = task.batch(state.random)
    state.network.train()
    terms = task.losses(state.network, batch, done, state.adversary)
    loss = _weighted_sum(terms, task.weights)
    state.lost = (state.lost + 1) * ~loss.detach().isfinite()  # not read here, because a GPU would have to wait
    fabric.backward(loss)
    norm = task.config.gradient_clip
    fabric.clip_gradients(state.network, state.optimizer, max_norm=norm, error_if_nonfinite=False)
    drop_nonfinite_gradients(state.module)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.ema.restore_buffers(state.module)
    state.ema.update(state.module)
    state.step += 1
    meter.add(task.samples * fabric.world_size)
    return terms


def _begin(fabric: Fabric, task: Task[Any], settings: Settings, footage: str) -> tuple[State, str]:
    """The state from the checkpoint, else from `start`, else from random weights; and a remark for the log."""
    path = settings.out / CHECKPOINT
    saved = load_checkpoint(path)
    start = settings.start if saved is None else None
    with checkpoint_errors(path):
        # Earlier versions, which did not note what they were given, froze levels without a start, too.
        fresh = settings.start is None if saved is None else saved["start"] is None and "given" in saved
    state = State(fabric, task, start, fresh)
    state.footage = footage
    if saved is None:
        return state, ""
    with checkpoint_errors(path):
        state.load_state_dict(saved, path)
        remark = "".join(f"; another {name} than before" for name in state.changes(saved))
    if settings.start not in (None, state.start):
        remark += f"; {settings.out} continues from its checkpoint, so --start {settings.start} is ignored"
    return state, remark


def _agreed(fabric: Fabric, state: State, asked: bool) -> tuple[float, bool]:
    """Completed share of the run and whether to stop, by the first process, so that all do the same."""
    own = (state.done, asked)
    first: tuple[float, bool] = fabric.broadcast(own) if fabric.world_size > 1 else own
    return first


def _stop(fabric: Fabric, state: State, log: Log, out: Path) -> NoReturn:
    is_saved = not fabric.is_global_zero or _save_unless_lost(state, out)
    what = "which is saved" if is_saved else "which is not saved, because its losses are not numbers"
    log.say(f"stopped after step {state.step}, {what}")
    raise KeyboardInterrupt


def _save_unless_lost(state: State, out: Path) -> bool:
    """Save a checkpoint, unless the loss is no longer a number: the one before is better."""
    if is_sound := not state.lost:
        save_checkpoint(out / CHECKPOINT, state.state_dict())
    return is_sound


def _require_numbers(state: State, out: Path) -> None:
    """Raise UsageError if none of the last losses was a number."""
    if state.lost >= _MOST_LOST:
        raise UsageError(
            f"{out}: the training diverged, because none of the last {int(state.lost)} losses is a number; lower "
            "learning_rate in the config, and the same command goes on from the last sound checkpoint, if there is one."
        )


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
        is_best = figures[task.best_by] > state.best.get(task.best_by, -math.inf)
        listed = _listed({name: x for name, x in figures.items() if "." not in name})
        log.say(f"val at {state.step}: {listed}{'; the best so far' if is_best else ''}")
        if (picture := task.picture(state.ema.module)) is not None:
            log.picture("val", picture, state.step)
        if is_best:
            state.best, state.finished = figures | {"step": float(state.step)}, {}
            training = asdict(task.config) | {"start": state.start}
            card = {"training": training, "validation": state.best, "footage": state.footage}
            task.save(out, state.ema.module, card)
    state.best, state.validated = fabric.broadcast(state.best), state.step


@torch.no_grad()
def _validated(task: Task[Any], state: State, trials: int | None = None) -> dict[str, float]:
    return task.validate(state.ema.module, trials)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
