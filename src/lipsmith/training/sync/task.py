"""Train the lip-sync judge: contrastive, with other moments of the same clip as negatives.

Part of the footage is out of sync by itself. Twice during a run the judge listens to all of it, estimates each clip's
offset and goes on with the corrected footage; what it found is left in `offsets.json`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.config import build
from lipsmith.errors import UsageError
from lipsmith.evaluation.metrics.lse import REACH, estimate_lags, shift_distances, sync_accuracy
from lipsmith.inference.model_folder import write_config
from lipsmith.inference.stages import WEIGHTS, halved
from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig, windows
from lipsmith.progress import Progress
from lipsmith.training.losses.sync import batch_loss, shift_loss, stretch_loss
from lipsmith.training.run import has_bfloat16, is_finished, make_fabric
from lipsmith.training.state import (
    Ema,
    Meter,
    Schedule,
    load_checkpoint,
    rng_state,
    save_checkpoint,
    set_rng_state,
    write_tensors,
)
from lipsmith.training.sync.augment import augment_mel, augment_mouths
from lipsmith.training.sync.sampler import FPS, WINDOW, SyncFootage

_LOG = logging.getLogger(__name__)
_CHUNK = 1024
"""Windows of speech that the judge hears at a time."""
_MOUTHS = 256
"""Windows of a mouth that the judge sees at a time: 300 MB."""
_TRUSTED = 0.75
"""Share of comparisons that a judge must win on unseen people before it may correct the footage it learns from."""
Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True)
class SyncConfig:
    """What `lipsmith train sync` reads from its TOML file."""

    model: SyncNetConfig = field(default_factory=SyncNetConfig)
    """The network."""
    steps: int = 8000
    """Optimiser steps."""
    minutes: float | None = None
    """Wall-clock limit; the learning rate is annealed towards whichever limit is nearer."""
    batch: int = 64
    """Stretches a step."""
    length: int = 20
    """Mouth windows of a stretch."""
    margin: int = 10
    """Further speech windows on both sides, all of them negatives."""
    spared: int = 1
    """Shifts up to this are neither right nor wrong."""
    learning_rate: float = 1e-3
    """Of AdamW."""
    weight_decay: float = 0.05
    """Of AdamW."""
    warmup: int = 200
    """Steps in which the learning rate rises."""
    ema: float = 0.999
    """Decay of the averaged weights, which are the ones kept."""
    batch_weight: float = 0.1
    """Share of the loss that sets clips apart from each other."""
    realign: tuple[float, ...] = (0.3, 0.6)
    """Parts of the run after which the offsets of the footage are estimated anew."""
    validate_every: int = 400
    """Steps between validations."""
    seed: int = 0
    """Of all random draws."""


class Judge(torch.nn.Module):
    """The network with the sharpness of its three questions, which training alone needs."""

    def __init__(self, config: SyncNetConfig) -> None:
        super().__init__()
        self.net = SyncNet(config)
        self.log_scales = torch.nn.Parameter(torch.log(torch.tensor([10.0, 20.0, 10.0])))

    def forward(self, mouths: Tensor, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Windows and mels as `SyncNet`; also the three scales, at most 60."""
        mouth, speech = self.net(mouths, mel)
        return mouth, speech, self.log_scales.exp().clamp(max=60)


def train(
    config: SyncConfig,
    data: Path,
    out: Path,
    *,
    device: str = "auto",
    minutes: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train on the split `train` of prepared `data`, choose by `val`; returns the folder of the chosen weights.

    A run that was interrupted goes on from `out/last.pt`. Raises InputError without clips long enough, UsageError where
    `out` is a run on other clips or of another network.
    """
    run = _Run(config, data, out, device, minutes)
    while not is_finished(run.fabric, run.schedule, run.step):
        run.advance()
        if progress and run.fabric.is_global_zero:
            progress(int(1000 * run.schedule.progress(run.step)), 1000)
        run.realign_when_due()
        if run.step % config.validate_every == 0:
            run.validate()
    if run.step > run.validated:
        run.validate()
    if run.fabric.is_global_zero:
        (out / "offsets.json").write_text(json.dumps(run.offsets(), indent=1), encoding="utf-8")
    return out / "sync"


class _Run:
    """All that a run holds, saves and resumes."""

    def __init__(self, config: SyncConfig, data: Path, out: Path, device: str, minutes: float | None) -> None:
        self.config, self.out = config, out
        self.fabric = make_fabric(device)
        self.log = _LOG.info if self.fabric.is_global_zero else _LOG.debug
        torch.set_float32_matmul_precision("high")
        place = self.fabric.device
        self.autocast = torch.autocast(place.type, torch.bfloat16, enabled=has_bfloat16(place))
        torch.manual_seed(config.seed)
        self.generator = torch.Generator(place).manual_seed(config.seed + self.fabric.global_rank)
        shortest = config.length + WINDOW - 1
        self.footage = SyncFootage(data, "train", place, shortest)
        self.held_out = SyncFootage(data, "val", place, shortest)
        judge = _laid_out(Judge(config.model), place)
        optimizer = torch.optim.AdamW(judge.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        self.judge: Any
        self.judge, self.optimizer = self.fabric.setup(judge, optimizer)
        self.ema = Ema(judge, config.ema)
        self.averaged = _laid_out(SyncNet(config.model).to(place), place).eval()
        self.schedule = Schedule(config.steps, minutes or config.minutes, config.warmup)
        self.meter = Meter(place)
        out.mkdir(parents=True, exist_ok=True)
        self.step, self.validated, self.best, self.realigned = 0, 0, -1.0, 0
        torch.manual_seed(config.seed + self.fabric.global_rank)
        self._resume()

    def advance(self) -> None:
        """One batch, one update."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * self.schedule.scale(self.step)
        with self.meter.data(), torch.no_grad():
            drawn = self.footage.sample(config.batch, config.length, config.margin, self.generator)
            size = (config.model.height, config.model.width)
            frames = augment_mouths(drawn.frames, size, self.generator)
            mel = augment_mel(drawn.mel, self.generator)
            mouths = rearrange(frames.unfold(1, WINDOW, 1), "b l c h w t -> (b l) t c h w")
        with self.autocast:
            mouth, speech, scales = self.judge(mouths, rearrange(mel, "b a m s -> (b a) 1 m s"))
        loss = self._loss(mouth.float(), speech.float(), drawn.valid, scales)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.judge, self.optimizer, max_norm=1.0, error_if_nonfinite=False)
        self.optimizer.step()
        self.ema.update(self.judge.module)
        self.meter.add(config.batch * self.fabric.world_size)
        self.last_loss = loss.detach()
        self.step += 1

    def realign_when_due(self) -> None:
        """Estimate the training clips' offsets again at the set parts of the run."""
        due = sum(self.schedule.progress(self.step) >= part for part in self.config.realign)
        if due <= self.realigned:
            return
        self.realigned = due
        if self.best < _TRUSTED:
            self.log("the judge cannot yet tell sync from its lack; offsets are left as they are")
            return
        raw = self._distances(self.footage)
        lag = estimate_lags(raw, self.footage.identities)
        self.footage.lag = torch.from_numpy(lag).to(self.footage.lag)
        self.log("%d of %d clips are off by more than 1 frame", (np.abs(lag) > 1).sum(), len(lag))

    def validate(self) -> None:
        """Measure the averaged weights on unseen people, keep them if they are the best, save the state."""
        if self.fabric.is_global_zero:
            self._measure()
        # All must know when the judge may be trusted.
        self.best, self.validated = self.fabric.broadcast(self.best), self.step

    def _measure(self) -> None:
        found = [sync_accuracy(distances) for distances in self._distances(self.held_out)]
        wins, comparisons = np.sum(found, axis=0)
        score = float(wins) / max(1, int(comparisons))
        rate, share = self.meter.read()
        row = {
            "step": self.step,
            "minutes": self.schedule.elapsed,
            "loss": float(self.last_loss),
            "sync_accuracy": score,
        }
        row |= {"stretches_per_s": rate, "data_share": share}
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        self.log("step %d: loss %.3f, sync accuracy %.1f %%", self.step, row["loss"], 100 * score)
        if score > self.best:
            self.best = score
            save_judge(self.out / "sync", self.averaged, {"sync_accuracy_val": score, "step": self.step})
        save_checkpoint(self.out / "last.pt", self._state())

    def offsets(self) -> dict[str, float]:
        """Seconds by which each training clip's speech lags its picture, as last estimated."""
        lags = self.footage.lag.tolist()
        return {record.clip: lag / FPS for record, lag in zip(self.footage.records, lags, strict=True)}

    def _loss(self, mouth: Tensor, speech: Tensor, valid: Tensor, scales: Tensor) -> Tensor:
        config = self.config
        mouth = rearrange(mouth, "(b l) e -> b l e", l=config.length)
        speech = rearrange(speech, "(b a) e -> b a e", b=len(mouth))
        similarity = mouth @ speech.mT
        stretch = stretch_loss(similarity, valid, scales[0], config.spared)
        shift = shift_loss(similarity, valid, scales[1], config.margin, config.spared)
        middle = config.length // 2
        batch = batch_loss(mouth[:, middle], speech[:, middle + config.margin], scales[2])
        return stretch + shift + config.batch_weight * batch

    def _distances(self, footage: SyncFootage) -> list[NDArray[np.float32]]:
        weights = {name[4:]: value for name, value in self.ema.weights.items() if name.startswith("net.")}
        self.averaged.load_state_dict(weights)
        return clip_distances(self.averaged, footage, REACH)

    def _clips(self) -> list[str]:
        return [record.clip for record in (*self.footage.records, *self.held_out.records)]

    def _state(self) -> dict[str, Any]:
        return {
            "clips": self._clips(),
            "model_config": asdict(self.config.model),
            "step": self.step,
            "judge": self.judge.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": rng_state(self.generator),
            "lag": self.footage.lag.cpu(),
            "best": self.best,
            "realigned": self.realigned,
        }

    def _resume(self) -> None:
        state = load_checkpoint(self.out / "last.pt")
        if state is None:
            return
        if state.get("clips") != self._clips():
            raise UsageError(f"{self.out} is a run on other clips; choose another run folder")
        if build(SyncNetConfig, state["model_config"], str(self.out)) != self.config.model:
            raise UsageError(f"{self.out} is of a network of other sizes; choose another run folder")
        self.judge.load_state_dict(state["judge"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.load_state_dict(state["ema"])
        self.schedule.load_state_dict(state["schedule"])
        if self.fabric.is_global_zero:  # whose draws these are; the others' must stay different
            set_rng_state(self.generator, state["random"])
        self.footage.lag = state["lag"].to(self.fabric.device)
        self.step, self.best, self.realigned = state["step"], state["best"], state["realigned"]
        self.validated = self.step


def save_judge(folder: Path, net: SyncNet, card: dict[str, Any]) -> None:
    """A model folder that `evaluation.metrics.judge.load_judge` reads; kernels and matrices in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS, halved(net.state_dict()))
    write_config(folder, {"kind": "sync", "architecture": asdict(net.config), "training": card})


@torch.no_grad()
def clip_distances(net: SyncNet, footage: SyncFootage, reach: int) -> list[NDArray[np.float32]]:
    """For each clip `(W, 2 reach + 1)`, as `shift_distances`, of the footage as it is on disk."""
    mouth = _mouth_embeddings(net, footage)
    speech = _speech_embeddings(net, footage, reach)
    counts = (footage.frames - WINDOW + 1).tolist()
    wider = [count + 2 * reach for count in counts]
    pairs = zip(mouth.split(counts), speech.split(wider), strict=True)  # type: ignore[no-untyped-call]
    return [shift_distances(m.numpy(), s.numpy()) for m, s in pairs]


def _mouth_embeddings(net: SyncNet, footage: SyncFootage) -> Tensor:
    """Of every whole window of every clip, one after the other `(sum of W, E)`, on the CPU."""
    parts = []
    for first, count in zip(footage.first.tolist(), footage.frames.tolist(), strict=True):
        for begin in range(first, first + count - WINDOW + 1, _MOUTHS):
            end = min(begin + _MOUTHS + WINDOW - 1, first + count)
            frames = rearrange(footage.mouths[begin:end], "f h w c -> f c h w").float() / 255
            size = (net.config.height, net.config.width)
            scaled = torch.nn.functional.interpolate(frames, size, mode="bilinear", antialias=True)
            parts.append(net.mouth(windows(scaled, WINDOW)).cpu())
    return torch.cat(parts)


def _speech_embeddings(net: SyncNet, footage: SyncFootage, reach: int) -> Tensor:
    """Of the window of every frame and of `reach` more on both sides, NaN where there is no sound, on the CPU."""
    parts = []
    clips, centres = [], []
    for clip, count in enumerate(footage.frames.tolist()):
        centre = torch.arange(WINDOW // 2 - reach, count - WINDOW // 2 + reach, device=footage.device)
        centres.append(centre)
        clips.append(torch.full_like(centre, clip))
    pairs = zip(torch.cat(clips).split(_CHUNK), torch.cat(centres).split(_CHUNK), strict=True)  # type: ignore[no-untyped-call]
    for clip_chunk, centre_chunk in pairs:
        mel, valid = footage.speech(clip_chunk, centre_chunk[:, None])
        embedding = net.speech(mel).masked_fill(~valid, torch.nan)
        parts.append(embedding.cpu())
    return torch.cat(parts)


def _laid_out(module: Network, device: torch.device) -> Network:
    """The memory order in which a GPU's tensor cores take convolutions; on a CPU it costs more than it gains."""
    if device.type == "cuda":
        for parameter in module.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module
