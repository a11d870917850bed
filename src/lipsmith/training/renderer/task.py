"""Training of the renderer: pixels first, then what VGG sees, the adversary last; one visible loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lipsmith.config import build
from lipsmith.data.clips import ClipRecord, read_manifest
from lipsmith.errors import InputError, UsageError, WeightsError
from lipsmith.evaluation.protocols import MIN_STRICT_SECONDS
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.discriminator import MultiScaleDiscriminator
from lipsmith.models.renderer.network import Renderer
from lipsmith.models.vgg import VGG, load_vgg
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.renderer import (
    TERMS,
    renderer_terms,
)
from lipsmith.training.renderer.augment import augment
from lipsmith.training.renderer.batch import RenderBatch, compare, render_batch
from lipsmith.training.renderer.config import RendererTraining
from lipsmith.training.renderer.figures import measure, picture
from lipsmith.training.renderer.sampler import Batch, Footage, fixed_batches
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
from lipsmith.weights import third_party

_LOG = logging.getLogger(__name__)
CHECKPOINT: Final = "checkpoint.pt"
WEIGHTS: Final = "renderer"
LOG_EVERY: Final = 100
PERCEPTUAL: Final = frozenset({"warped", "content", "style"})

M = TypeVar("M", bound=nn.Module)


def train_renderer(
    config: RendererTraining,
    data: Path,
    run: Path,
    *,
    device: str = "auto",
    start: str | None = None,
    report: Callable[[str], None] = _LOG.info,
) -> dict[str, float]:
    """Train on the split `train` of the prepared clips in `data`, validate on `val`; figures of the best weights.

    `run` gets `renderer.safetensors` and `renderer.json` (best averaged weights, config, figures), a checkpoint and
    TensorBoard curves with pictures. A run that finds its own checkpoint goes on from it; else it begins with the
    network of `start`, another run's folder or a model. `report` is given a line now and then. Raises InputError where
    no clip of a split is long enough.
    """
    # Not Fabric's bf16-mixed: it would round the inputs too, and half a pixel of every landmark with them.
    fabric = make_fabric(device)
    report = report if fabric.is_global_zero else _LOG.debug
    torch.set_float32_matmul_precision("high")
    neighbours = config.model.neighbours
    footage = Footage(data, read_manifest(data, "train"), neighbours, fabric.device)
    trials = list(fixed_batches(Footage(data, read_manifest(data, "val"), neighbours, fabric.device), config))
    if not trials:
        raise InputError(
            f"{data}: no clip of val lasts {MIN_STRICT_SECONDS:g} s; prepare longer footage to validate on"
        )
    state = _State(fabric, config, _vgg(config, fabric))
    state.resume(run / CHECKPOINT, start, report)
    report(f"{len(footage.images)} frames, {len(trials)} clips to validate on, from step {state.step}")
    return _loop(fabric, config, state, footage, trials, run, report)


class _State:
    """All that a checkpoint holds: networks, optimisers, averaged weights, clock, random numbers, the best so far."""

    def __init__(self, fabric: Fabric, config: RendererTraining, vgg: VGG | None) -> None:
        torch.manual_seed(config.seed)
        self.config, self.vgg = config, vgg
        self.rank = fabric.global_rank
        on_gpu = fabric.device.type == "cuda"
        self.autocast = torch.autocast(fabric.device.type, torch.bfloat16, enabled=has_bfloat16(fabric.device))
        self.bare = RenderBatch(Renderer(config.model))
        if config.train_only == "decoder":
            self.bare.network.freeze_alignment()
        learning = [parameter for parameter in self.bare.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(learning, config.learning_rate, fused=on_gpu)
        ready = _channels_last(self.bare, fabric.device)
        compiled: Any = torch.compile(ready) if config.compile else ready
        self.network: Any
        self.optimizer: Any
        self.network, self.optimizer = fabric.setup(compiled, optimizer)
        discriminator = MultiScaleDiscriminator(channels=config.discriminator_channels)
        adam = torch.optim.Adam(discriminator.parameters(), config.learning_rate, betas=(0.5, 0.999))
        self.adversary = Adversary(*fabric.setup(discriminator, adam))
        self.ema = Ema(self.bare.network, config.ema)
        self.schedule = Schedule(config.steps, config.minutes, config.warmup)
        self.sampler = torch.Generator(fabric.device).manual_seed(config.seed + self.rank)
        self.start: str | None = None
        self.step = 0
        self.best: dict[str, float] = {}

    def resume(self, path: Path, start: str | None, report: Callable[[str], None]) -> None:
        """Go on from the checkpoint at `path`; where there is none, begin with the network of `start`."""
        saved = load_checkpoint(path)
        if saved is None:
            if start is not None:
                load_initial_weights(self.bare.network, start, WEIGHTS)
                self.ema = Ema(self.bare.network, self.config.ema)
            self.start = start
            return
        if start is not None:
            report(f"{path.parent} goes on from its checkpoint; the start {start} is not used")
        same = build(RendererConfig, saved["model_config"], "checkpoint") == self.config.model
        # Runs without lips once had a lip encoder all the same, and so has what the optimiser saved.
        if not same or saved["network"].keys() != self.bare.network.state_dict().keys():
            raise UsageError(f"{path} is of another architecture; choose another run folder")
        if (trained := saved["train_only"]) != self.config.train_only:
            raise UsageError(f"in {path} train_only = {trained!r}; choose another run folder")
        self.bare.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.ema.load_state_dict(saved["ema"])
        if "adversary" in saved:
            self.adversary.load_state_dict(saved["adversary"])
        self.schedule.load_state_dict(saved["schedule"])
        if self.rank == 0:  # whose draws these are; the others' must stay different
            set_rng_state(self.sampler, saved["random"])
        self.step, self.best, self.start = saved["step"], saved["best"], saved.get("start")

    def save(self, path: Path) -> None:
        """Write the checkpoint; the adversary only once it has learnt something."""
        adversary = {"adversary": self.adversary.state_dict()} if self.has_adversary else {}
        save_checkpoint(
            path,
            {
                "model_config": asdict(self.config.model),
                "train_only": self.config.train_only,
                "network": self.bare.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "ema": self.ema.state_dict(),
                "schedule": self.schedule.state_dict(),
                "random": rng_state(self.sampler),
                "step": self.step,
                "best": self.best,
                "start": self.start,
                **adversary,
            },
        )

    @property
    def has_adversary(self) -> bool:
        """Whether the adversary has joined."""
        weights = self.config.weights
        late = self.schedule.progress(self.step) >= self.config.gan_from
        return late and (weights.gan > 0 or weights.matching > 0)

    @property
    def active_terms(self) -> list[str]:
        """Terms of the loss that are in force, the adversary's aside."""
        seeing = self.vgg is not None and self.schedule.progress(self.step) >= self.config.perceptual_from
        weights = asdict(self.config.weights)
        return [name for name in TERMS if weights[name] > 0 and (seeing or name not in PERCEPTUAL)]


def _loop(
    fabric: Fabric,
    config: RendererTraining,
    state: _State,
    footage: Footage,
    trials: Sequence[tuple[ClipRecord, Batch]],
    run: Path,
    report: Callable[[str], None],
) -> dict[str, float]:
    curves = Curves(run if fabric.is_global_zero else None)
    _validate(fabric, state, trials[:2], None, curves, report)
    meter, saved_at = Meter(fabric.device), time.monotonic()
    while not is_finished(fabric, state.schedule, state.step):
        terms = _train_step(fabric, config, state, footage, meter)
        state.step += 1
        if state.step % LOG_EVERY == 0:
            _log(state, terms, meter, curves, report)
        if state.step % config.validate_every == 0:
            _validate(fabric, state, trials, run, curves, report)
            meter.read()
        if time.monotonic() - saved_at > 60 * config.checkpoint_minutes and fabric.is_global_zero:
            state.save(run / CHECKPOINT)
            saved_at = time.monotonic()
    if state.step % config.validate_every:
        _validate(fabric, state, trials, run, curves, report)
    if fabric.is_global_zero:
        state.save(run / CHECKPOINT)
    return state.best


def _train_step(
    fabric: Fabric, config: RendererTraining, state: _State, footage: Footage, meter: Meter
) -> dict[str, Tensor]:
    for group in (*state.optimizer.param_groups, *state.adversary.optimizer.param_groups):
        group["lr"] = config.learning_rate * state.schedule.scale(state.step)
    with meter.data(), torch.no_grad():
        batch = augment(footage.draw(config, state.sampler), state.sampler)
    state.network.train()
    with state.autocast:
        rendered = render_batch(state.network, batch)
    shift = _window_shift(config.model, state.sampler)
    comparison = compare(rendered, batch, config.model.top, state.vgg, config.perceptual_share, shift)
    adversary = state.adversary if state.has_adversary else None
    with state.autocast:
        faces = comparison.generated_face, comparison.true_face
        judged = {} if adversary is None else {"discriminator": adversary.train_step(*faces)}
        terms = renderer_terms(comparison, state.active_terms, adversary)
        weights = asdict(config.weights)
        loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    fabric.backward(loss)
    fabric.clip_gradients(state.network, state.optimizer, max_norm=10.0, error_if_nonfinite=False)
    _drop_nonfinite(state.bare)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.ema.update(state.bare.network)
    meter.add(len(comparison.image) * fabric.world_size)
    return {name: value.detach() for name, value in (terms | judged).items()}


def _window_shift(config: RendererConfig, sampler: torch.Generator) -> tuple[int, int]:
    """Where the face's window lies this time: what pools and strides must not see one lattice only."""
    size = config.face_size
    spare = min(size // 32, max(0, 7 * size // 16 - config.top))
    up, right = torch.rand(2, device=sampler.device, generator=sampler).tolist()
    return int(up * (spare + 1)), round((2 * right - 1) * size / 18)


def _drop_nonfinite(network: nn.Module) -> None:
    """One batch whose gradient overflows must not cost the run its weights: such entries count as nought."""
    for parameter in network.parameters():
        if parameter.grad is not None:
            torch.nan_to_num_(parameter.grad, 0.0, 0.0, 0.0)


def _log(state: _State, terms: dict[str, Tensor], meter: Meter, curves: Curves, report: Callable[[str], None]) -> None:
    rate, share = meter.read()
    values = {name: float(value) for name, value in terms.items()}
    curves.add("train", values | {"samples_per_second": rate, "data_share": share}, state.step)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
    done = state.schedule.progress(state.step)
    report(f"step {state.step} ({done:.0%}): {shown}; {rate:.0f} samples/s, data {share:.1%}")


@torch.no_grad()
def _validate(
    fabric: Fabric,
    state: _State,
    trials: Sequence[tuple[ClipRecord, Batch]],
    run: Path | None,
    curves: Curves,
    report: Callable[[str], None],
) -> None:
    """Measure the averaged weights under the strict protocol; with a `run`, keep them if they are the best so far."""
    if fabric.is_global_zero:
        network = RenderBatch(Renderer(state.config.model)).to(fabric.device).eval()
        network.network.load_state_dict(state.ema.weights)
        batches, identities = [batch for _, batch in trials], [record.identity for record, _ in trials]
        with state.autocast:
            figures = measure(network, batches, identities, state.vgg, state.config.perceptual_share)
        curves.add("val", figures, state.step)
        report(f"val at {state.step}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
        curves.picture("val", picture(network, batches[::4]), state.step)
        if run is not None and figures["score"] > state.best.get("score", -np.inf):
            state.best = figures | {"step": float(state.step)}
            training = asdict(state.config) | {"start": state.start}
            save_weights(run / WEIGHTS, state.ema.weights, {"training": training, "validation": state.best})
    fabric.barrier()


def _vgg(config: RendererTraining, fabric: Fabric) -> VGG | None:
    """The yardstick of the perceptual terms: VGG-19 where its weights are at hand, VGG-16 otherwise."""
    if not any(getattr(config.weights, name) > 0 for name in PERCEPTUAL):
        return None
    try:
        vgg = load_vgg(third_party("vgg19"), "vgg19")
    except WeightsError:
        vgg = load_vgg(third_party("lpips_vgg16"), "vgg16")
    return _channels_last(vgg, fabric.device)


def _channels_last(module: M, device: torch.device) -> M:
    """The module on its device, in the memory format that convolutions like."""
    moved: M = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved
