"""Training of the landmark generator: all footage in memory, batches made on the device, one visible loop."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from lipsmith.config import build
from lipsmith.errors import InputError, UsageError, WeightsError
from lipsmith.evaluation.landmarks import Trial, load_trials, measure, total
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.models.landmarks.generator import LandmarkConfig, LandmarkGenerator, build_landmark_generator
from lipsmith.training.landmarks.augment import Augmentation, augment
from lipsmith.training.landmarks.sampler import Footage, ReferenceRules, draw, load_footage
from lipsmith.training.losses.landmarks import LandmarkLossWeights, landmark_loss
from lipsmith.training.run import Curves, has_bfloat16, is_finished, make_fabric, save_weights
from lipsmith.training.state import (
    Ema,
    Meter,
    Schedule,
    load_checkpoint,
    load_initial_weights,
    rng_state,
    save_checkpoint,
    set_rng_state,
)

_LOG = logging.getLogger(__name__)
CHECKPOINT: Final = "checkpoint.pt"
_STEM: Final = "landmarks"
WEIGHTS: Final = f"{_STEM}.safetensors"
CONFIG: Final = f"{_STEM}.json"


@dataclass(frozen=True)
class LandmarkTraining:
    """Everything that decides what a run learns."""

    model: LandmarkConfig = field(default_factory=LandmarkConfig)
    """Sizes of the network."""
    loss: LandmarkLossWeights = field(default_factory=LandmarkLossWeights)
    """Weights of the loss's terms."""
    augment: Augmentation = field(default_factory=Augmentation)
    """Variation of the footage."""
    references: ReferenceRules = field(default_factory=ReferenceRules)
    """Where training references come from."""
    steps: int = 610_000
    """Optimiser steps; a limit in minutes may end the run earlier."""
    batch: int = 128
    """Windows per step and device."""
    learning_rate: float = 1e-4
    """Highest learning rate."""
    weight_decay: float = 0.0
    """AdamW's decay."""
    warmup: int = 500
    """Steps of linear warm-up."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the averaged weights, which are validated and kept."""
    validate_every: int = 1000
    """Steps between validations."""
    log_every: int = 100
    """Steps between log lines."""
    checkpoint_minutes: float = 3.0
    """Minutes between checkpoints."""
    seed: int = 0
    """Of weights and samples."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.validate_every, self.log_every, self.references.fewest) < 1:
            raise ValueError("steps, batch, validate_every, log_every and fewest references are at least 1")


def train_landmarks(
    config: LandmarkTraining,
    data: Path,
    run: Path,
    *,
    minutes: float | None = None,
    device: str = "auto",
    start: str | None = None,
    report: Callable[[str], None] = _LOG.info,
) -> dict[str, float]:
    """Train on the split `train` of the prepared clips in `data`, validate on `val`; figures of the best weights.

    `run` gets `landmarks.safetensors` and `landmarks.json` (the best averaged weights and their config), a
    checkpoint and TensorBoard curves. A run that finds its own checkpoint there goes on from it; else it begins with
    the network of `start`, another run's folder or a model.
    `minutes`: wall-clock limit by which the learning rate has annealed. `report` is given a line now and then. Raises
    InputError where no clip of a split shows a face for long enough.
    """
    # Not Fabric's bf16-mixed: it would round the inputs too, and half a pixel of every landmark with them.
    fabric = make_fabric(device)
    report = report if fabric.is_global_zero else _LOG.debug
    torch.set_float32_matmul_precision("high")
    trials = load_trials(data, "val", config.model.references)
    if not trials:
        raise InputError(
            f"{data}: no clip of val shows a face where it is measured; prepare other footage to validate on"
        )
    footage = load_footage(data, "train", config.model.window, config.augment.shifts).to(fabric.device)
    judge = _Judge(config, fabric.device)
    state = _State(fabric, config, minutes)
    state.resume(run / CHECKPOINT, start, report)
    report(f"{len(footage.window_first)} windows, {len(trials)} clips to validate on, from step {state.step}")
    return _loop(fabric, config, state, judge, footage, trials, run, report)


class _State:
    """All that a checkpoint holds: network, optimiser, averaged weights, clock, random numbers and the best so far."""

    def __init__(self, fabric: Fabric, config: LandmarkTraining, minutes: float | None) -> None:
        torch.manual_seed(config.seed)
        random.seed(config.seed)
        self.config = config
        self.rank = fabric.global_rank
        self.autocast = torch.autocast(fabric.device.type, torch.bfloat16, enabled=has_bfloat16(fabric.device))
        self.bare = build_landmark_generator(config.model)
        self.optimiser: Any = torch.optim.AdamW(
            self.bare.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.network: Any
        self.network, self.optimiser = fabric.setup(self.bare, self.optimiser)
        self.ema = Ema(self.bare, config.ema)
        self.schedule = Schedule(config.steps, minutes, config.warmup)
        self.sampler = torch.Generator(fabric.device).manual_seed(config.seed + self.rank)
        torch.manual_seed(config.seed + self.rank)
        self.start: str | None = None
        self.step = 0
        self.best: dict[str, float] = {}

    def resume(self, path: Path, start: str | None, report: Callable[[str], None]) -> None:
        """Go on from the checkpoint at `path`; where there is none, begin with the network of `start`."""
        saved = load_checkpoint(path)
        if saved is None:
            if start is not None:
                load_initial_weights(self.bare, start, _STEM)
                self.ema = Ema(self.bare, self.config.ema)
            self.start = start
            return
        if start is not None:
            report(f"{path.parent} goes on from its checkpoint; the start {start} is not used")
        if build(LandmarkConfig, saved["model_config"], str(path)) != self.config.model:
            raise UsageError(f"{path} is of a network of other sizes; choose another run folder")
        self.bare.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.ema.load_state_dict(saved["ema"])
        self.schedule.load_state_dict(saved["schedule"])
        if self.rank == 0:  # whose draws these are; the others' must stay different
            set_rng_state(self.sampler, saved["random"])
        random.setstate(_tuples(saved["python"]))
        self.step, self.best, self.start = saved["step"], saved["best"], saved.get("start")

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        save_checkpoint(
            path,
            {
                "model_config": asdict(self.config.model),
                "network": self.bare.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "ema": self.ema.state_dict(),
                "schedule": self.schedule.state_dict(),
                "random": rng_state(self.sampler),
                "python": random.getstate(),
                "step": self.step,
                "best": self.best,
                "start": self.start,
            },
        )


def _loop(
    fabric: Fabric,
    config: LandmarkTraining,
    state: _State,
    judge: _Judge,
    footage: Footage,
    trials: list[Trial],
    run: Path,
    report: Callable[[str], None],
) -> dict[str, float]:
    judge.figures(state.ema, trials[:2])
    curves = Curves(run if fabric.is_global_zero else None)
    meter, saved_at = Meter(fabric.device), time.monotonic()
    while not is_finished(fabric, state.schedule, state.step):
        losses = _train_step(config, state, footage, meter, fabric)
        state.step += 1
        if state.step % config.log_every == 0:
            _log(state, losses, meter, curves, report)
        if state.step % config.validate_every == 0:
            _validate(fabric, state, judge, trials, run, curves, report)
            meter.read()
        if time.monotonic() - saved_at > 60 * config.checkpoint_minutes and fabric.is_global_zero:
            state.save(run / CHECKPOINT)
            saved_at = time.monotonic()
    if state.step % config.validate_every:
        _validate(fabric, state, judge, trials, run, curves, report)
    if fabric.is_global_zero:
        state.save(run / CHECKPOINT)
    return state.best


def _train_step(
    config: LandmarkTraining, state: _State, footage: Footage, meter: Meter, fabric: Fabric
) -> dict[str, Tensor]:
    for group in state.optimiser.param_groups:
        group["lr"] = config.learning_rate * state.schedule.scale(state.step)
    count = random.randint(min(config.references.fewest, config.model.references), config.model.references)
    with meter.data(), torch.no_grad():
        window = draw(footage, config.batch, config.model.window, count, config.references, state.sampler)
        window = augment(window, config.augment, state.sampler)
    state.network.train()
    with state.autocast:
        content = state.network(window.speech, window.points[:, :, :NUM_POSE], window.references)
    losses = landmark_loss(content.float(), window.points[:, :, NUM_POSE:], config.loss)
    fabric.backward(torch.stack(list(losses.values())).sum())
    fabric.clip_gradients(state.network, state.optimiser, max_norm=config.clip, error_if_nonfinite=False)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.ema.update(state.bare)
    meter.add(config.batch * fabric.world_size)
    return {name: loss.detach() for name, loss in losses.items()}


def _log(
    state: _State,
    losses: dict[str, Tensor],
    meter: Meter,
    curves: Curves,
    report: Callable[[str], None],
) -> None:
    rate, share = meter.read()
    values = {name: float(loss) for name, loss in losses.items()}
    curves.add("train", values | {"windows_per_second": rate, "data_share": share}, state.step)
    terms = ", ".join(f"{name} {value:.5f}" for name, value in values.items())
    done = state.schedule.progress(state.step)
    report(f"step {state.step} ({done:.0%}): {terms}; {rate:.0f} windows/s, data {share:.1%}")


def _validate(
    fabric: Fabric,
    state: _State,
    judge: _Judge,
    trials: list[Trial],
    run: Path,
    curves: Curves,
    report: Callable[[str], None],
) -> None:
    """Measure the averaged weights; keep them if they are the best so far."""
    if fabric.is_global_zero:
        figures = judge.figures(state.ema, trials)
        curves.add("val", figures, state.step)
        shown = ("score", "opening_r", "l1_percent", "amplitude", "jitter_ratio", "silence_opening")
        report(f"val at {state.step}: " + ", ".join(f"{name} {figures[name]:.3f}" for name in shown if name in figures))
        if figures["score"] > state.best.get("score", -np.inf):
            state.best = {**figures, "step": float(state.step)}
            training = asdict(state.config) | {"minutes": state.schedule.minutes, "start": state.start}
            save_weights(run / _STEM, state.ema.weights, {"training": training, "validation": state.best})
    fabric.barrier()


class _Judge:
    """Measures averaged weights on validation clips, strict protocol."""

    def __init__(self, config: LandmarkTraining, device: torch.device) -> None:
        self.window = config.model.window
        self.network = build_landmark_generator(config.model).to(device).eval()
        self.stages = ModuleStages(self.network)

    def figures(self, ema: Ema, trials: list[Trial]) -> dict[str, float]:
        """Figures by name, and `score`, by which the best weights are chosen.

        The score is r, plus the share of the mean references' L1 that is saved, less what the amplitude falls
        short of 0.9: r alone does not mind a mumbling mouth.
        """
        self.network.load_state_dict(ema.weights)
        judged = [trial for trial in trials if trial.strict] or trials
        rows = [measure(self.stages, trial, self.window) for trial in judged]
        figures = total(rows, [trial.record.identity for trial in judged])
        saved = 1 - figures["l1_percent"] / max(figures["mean.l1_percent"], 1e-9)
        mumble = max(0.0, 0.9 - figures.get("amplitude", 0.0))
        return {"score": figures.get("opening_r", 0.0) + saved - mumble, **figures}


class ModuleStages:
    """A network in memory behind the interface of `lipsmith.inference.backend`: stages `speech` and `landmarks`."""

    def __init__(self, network: LandmarkGenerator) -> None:
        self._stages: dict[str, nn.Module] = {"speech": network.speech, "landmarks": network.transformer}
        self._device = next(network.parameters()).device

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Outputs of a stage for its named inputs."""
        tensors = {name: torch.from_numpy(np.ascontiguousarray(x)).to(self._device) for name, x in inputs.items()}
        with torch.inference_mode():
            output: Tensor = self._stages[stage](**tensors)
        return (output.float().cpu().numpy(),)


def load_trained(run: Path) -> tuple[LandmarkGenerator, LandmarkConfig]:
    """The best network of a run, ready for inference. Raises WeightsError where the folder holds none."""
    if not (run / WEIGHTS).is_file() or not (run / CONFIG).is_file():
        raise WeightsError(f"{run}: no {WEIGHTS} with {CONFIG}; train with `lipsmith train landmarks`")
    card = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    config = build(LandmarkConfig, card["training"]["model"], str(run / CONFIG))
    network = build_landmark_generator(config)
    network.load_state_dict(load_file(run / WEIGHTS))
    return network.eval(), config


def _tuples(value: Any) -> Any:  # noqa: ANN401 - a saved random state
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
