"""The training task of the lip-sync judge: contrastive, with other moments of the same clip as negatives.

Part of the original footage is out of sync. Twice during a run the judge estimates the offset of every training clip
and continues with the corrected footage; the last estimate is written to `offsets.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from lipsmith.errors import counted
from lipsmith.evaluation.metrics.judge import FPS
from lipsmith.evaluation.metrics.lse import estimate_lags, sync_accuracy
from lipsmith.files import write_whole
from lipsmith.models.sync.syncnet import WINDOW, SyncNet, SyncNetConfig
from lipsmith.training.checkpoint import save_model
from lipsmith.training.device import mixed_precision
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.sync import batch_loss, shift_loss, stretch_loss
from lipsmith.training.sync.augment import augment_mel, augment_mouths
from lipsmith.training.sync.config import SyncTraining
from lipsmith.training.sync.embeddings import clip_distances
from lipsmith.training.sync.sampler import SyncFootage
from lipsmith.training.task import Task

_TRUSTED: Final = 0.75
"""Sync accuracy on unseen people that a judge needs before it may correct the training footage."""


@dataclass(frozen=True)
class SyncBatch:
    """B stretches of L mouth windows and the A = L + 2 M speech windows around them."""

    mouths: Tensor
    """(B L, 5, 3, h, w) in [0, 1]."""
    mel: Tensor
    """(B A, 1, 80, 16) in [-4, 4]."""
    valid: Tensor
    """(B, A) bool: speech windows that lie inside the clip."""


class ScaledSyncNet(nn.Module):
    """The network with the scales of its three losses, which are needed only in training."""

    def __init__(self, config: SyncNetConfig) -> None:
        super().__init__()
        self.net = SyncNet(config)
        self.log_scales = nn.Parameter(torch.log(torch.tensor([10.0, 20.0, 10.0])))

    def forward(self, mouths: Tensor, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of windows and mels, as in `SyncNet`, and the three scales, at most 60."""
        mouth, speech = self.net(mouths, mel)
        return mouth, speech, self.log_scales.exp().clamp(max=60)


class SyncTask(Task[SyncBatch]):
    """Trains `SyncNet`; a run also writes the model folder `sync`, which the metrics read, and `offsets.json`."""

    name = "sync"
    best_by = "sync_accuracy"

    def __init__(self, config: SyncTraining) -> None:
        self.config: SyncTraining = config
        self.samples = config.batch
        self.weights = {"stretch": 1.0, "shift": 1.0, "batch": config.batch_weight}
        self.realigned = 0

    def load(self, data: Path, device: torch.device) -> str:
        """Load mouths and speech of both splits. Raises InputError if no clip is long enough."""
        shortest = self.config.length + WINDOW - 1
        self.footage = SyncFootage(data, "train", device, shortest)
        self.held_out = SyncFootage(data, "val", device, shortest)
        self.precision = mixed_precision(device)
        clips = counted(len(self.held_out.records), "clip")
        return f"{len(self.footage.mouths)} frames, {clips} to validate on"

    def build(self) -> ScaledSyncNet:
        """The network with its scales."""
        return ScaledSyncNet(self.config.model)

    def identity(self) -> dict[str, Any]:
        """The architecture, and the clips of the estimated offsets."""
        clips = [record.clip for record in (*self.footage.records, *self.held_out.records)]
        return {"model": asdict(self.config.model), "clips": clips}

    def exported(self, module: nn.Module) -> SyncNet:
        """The network without its scales."""
        assert isinstance(module, ScaledSyncNet)
        return module.net

    def prepare(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Use the memory layout of tensor cores on a GPU; on a CPU it costs more than it gains."""
        if device.type == "cuda":
            for parameter in module.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return module

    def batch(self, random: torch.Generator) -> SyncBatch:
        """Augmented stretches of the footage, corrected by the offsets estimated so far."""
        config = self.config
        drawn = self.footage.sample(config.batch, config.length, config.margin, random)
        frames = augment_mouths(drawn.frames, (config.model.height, config.model.width), random)
        mel = augment_mel(drawn.mel, random)
        mouths = rearrange(frames.unfold(1, WINDOW, 1), "b l c h w t -> (b l) t c h w")
        return SyncBatch(mouths, rearrange(mel, "b a m s -> (b a) 1 m s"), drawn.valid)

    def losses(
        self, network: nn.Module, batch: SyncBatch, done: float, adversary: Adversary | None
    ) -> dict[str, Tensor]:
        """Three contrastive terms: windows within a stretch, shifts of a stretch, and clips of the batch."""
        config = self.config
        with self.precision:
            mouths, speeches, scales = network(batch.mouths, batch.mel)
        mouth = rearrange(mouths.float(), "(b l) e -> b l e", l=config.length)
        speech = rearrange(speeches.float(), "(b a) e -> b a e", b=len(mouth))
        similarity = mouth @ speech.mT
        middle = config.length // 2
        return {
            "stretch": stretch_loss(similarity, batch.valid, scales[0], config.spared),
            "shift": shift_loss(similarity, batch.valid, scales[1], config.margin, config.spared),
            "batch": batch_loss(mouth[:, middle], speech[:, middle + config.margin], scales[2]),
        }

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """`sync_accuracy` on unseen people."""
        return {"sync_accuracy": sync_accuracy(clip_distances(self.exported(averaged), self.held_out, trials))}

    def after_step(self, averaged: nn.Module, done: float, best: Mapping[str, float]) -> str | None:
        """Re-estimate the offsets of the training clips at the configured shares of the run."""
        due = sum(done >= part for part in self.config.realign)
        if due <= self.realigned:
            return None
        self.realigned = due
        if best.get(self.best_by, 0.0) < _TRUSTED:
            return "the judge is not yet accurate enough to estimate offsets; they stay unchanged"
        lag = estimate_lags(clip_distances(self.exported(averaged), self.footage), self.footage.identities)
        self.footage.lag = torch.from_numpy(lag).to(self.footage.lag)
        return f"{(np.abs(lag) > 1).sum()} of {len(lag)} clips are off by more than 1 frame"

    def save(self, folder: Path, averaged: nn.Module, card: Mapping[str, Any]) -> None:
        """Also save a model folder for `evaluation.metrics.judge.load_judge`."""
        super().save(folder, averaged, card)
        save_model(folder / self.name, "sync", self.exported(averaged), asdict(self.config.model), card)

    def finish(self, folder: Path) -> dict[str, float]:
        """Write `offsets.json`: seconds by which each training clip's speech lags its picture, from the last
        estimate."""
        lags = self.footage.lag.tolist()
        offsets = {record.clip: lag / FPS for record, lag in zip(self.footage.records, lags, strict=True)}
        with write_whole(folder / "offsets.json") as beside:
            beside.write_text(json.dumps(offsets, indent=1), encoding="utf-8")
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The offsets, and the number of their estimates."""
        return {"lag": self.footage.lag.cpu(), "realigned": self.realigned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        self.footage.lag, self.realigned = state["lag"].to(self.footage.lag), state["realigned"]
