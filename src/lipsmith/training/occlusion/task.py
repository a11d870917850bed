"""The training task of the occlusion network: objects that were put before faces."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.data.clips import ClipRecord, read_manifest
from lipsmith.errors import counted
from lipsmith.inference.occlusion import MODEL
from lipsmith.models.occlusion import OcclusionNetwork
from lipsmith.training.checkpoint import save_model
from lipsmith.training.device import channels_last, mixed_precision
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.occlusion.captions import Captions
from lipsmith.training.occlusion.config import OcclusionTraining
from lipsmith.training.occlusion.objects import Random
from lipsmith.training.occlusion.pairs import drawn_pairs, some_clips
from lipsmith.training.occlusion.sampler import DrawnPairs, Occluded
from lipsmith.training.task import Task

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 128
_ALARM: Final = 8
"""Cells of the changed region in which something is found from which on a clean picture counts as an alarm."""


class OcclusionTask(Task[Occluded]):
    """Trains `OcclusionNetwork`; a run also writes the model folder `occlusion`."""

    name = MODEL

    def __init__(self, config: OcclusionTraining, kept: Path) -> None:
        """`kept`: a folder for drawn mouths, which is removed when the run is finished."""
        self.config: OcclusionTraining = config
        self._kept = kept
        self.samples = config.batch
        self.weights = {"cells": 1.0, "overlap": 0.1}

    def load(self, data: Path, device: torch.device) -> str:
        """Draw the mouths of both splits. Raises InputError if one is empty."""
        records = {split: read_manifest(data, split) for split in ("train", "val")}
        captions = Captions(self.config.captions, device)
        self.pairs, self.held_out = (self._drawn(data, own, captions, device) for own in records.values())
        self.precision = mixed_precision(device)
        people = counted(len({record.identity for record in records["train"]}), "person", "people")
        return f"{len(self.pairs)} frames of {people}, {len(self.held_out)} frames to validate on"

    def _drawn(self, data: Path, records: Sequence[ClipRecord], captions: Captions, device: torch.device) -> DrawnPairs:
        chosen = some_clips(records, self.config.clips)
        _LOG.info("new mouths are drawn over %s", counted(len(chosen), "clip"))
        pairs = list(drawn_pairs(data, chosen, self.config, self._kept))
        return DrawnPairs(pairs, [record.identity for record in chosen], captions, device)

    def build(self) -> OcclusionNetwork:
        """The network."""
        return OcclusionNetwork(self.config.model)

    def identity(self) -> dict[str, Any]:
        """The architecture."""
        return {"model": asdict(self.config.model)}

    def prepare(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Use the memory layout that convolutions run fastest in."""
        return channels_last(module, device)

    def batch(self, random: torch.Generator) -> Occluded:
        """Pictures with and without objects."""
        return self.pairs.draw(self.config.batch, self.config.clean_share, random)

    def losses(
        self, network: nn.Module, batch: Occluded, done: float, adversary: Adversary | None
    ) -> dict[str, Tensor]:
        """Cross-entropy of the cells, more of those that are free, and what is missing of the overlap (Dice)."""
        with self.precision:
            logits = network(batch.pictures)
        free = 1 + 0.5 * (1 - batch.opacity)
        cells = F.binary_cross_entropy_with_logits(logits.float(), batch.opacity, batch.weight * free)
        return {"cells": cells, "overlap": missed_overlap(logits.float().sigmoid(), batch.opacity, batch.weight)}

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """On unseen people: intersection over union of objects and what is found, precision, and the share of pictures
        without a drawn object in which something is found, some of which show one; `score` is the first minus twice
        the last."""
        averaged.eval()
        random = Random(torch.Generator(self.held_out.mask.device).manual_seed(0))
        frames = torch.arange(len(self.held_out), device=self.held_out.mask.device)[: 64 if trials else None]
        found, plain = [], []
        for part in frames.split(_AT_ONCE):  # type: ignore[no-untyped-call]
            given = self.held_out.occluded(part, part.flip(0), 0.0, random)
            with self.precision:
                logits, of_plain = averaged(given.pictures), averaged(self.held_out.plain(part))
            inside, counts = given.opacity > 0.5, given.weight > 0.5
            covered = (logits > 0) & counts
            found.append(torch.stack([(covered & inside).sum(), covered.sum(), (inside & counts).sum()]))
            plain.append(((of_plain > 0) & (self.held_out.mask[part] > 0.5)).sum((1, 2)) > _ALARM)
        both, covered, inside = torch.stack(found).sum(0).tolist()
        alarms = float(torch.cat(plain).float().mean())
        overlap = both / max(1, covered + inside - both)
        return {
            "overlap": overlap,
            "precision": both / max(1, covered),
            "alarms": alarms,
            "score": overlap - 2 * alarms,
        }

    def save(self, folder: Path, averaged: nn.Module, card: Mapping[str, Any]) -> None:
        """Also save a model folder."""
        super().save(folder, averaged, card)
        save_model(folder / MODEL, MODEL, averaged, asdict(self.config.model), card)

    def finish(self, folder: Path) -> dict[str, float]:
        """Remove the drawn mouths."""
        shutil.rmtree(self._kept, ignore_errors=True)
        return {}


def missed_overlap(found: Tensor, opacity: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice's coefficient of probabilities and opacities `(B, h, w)`, weighted by place; the mean of the pictures.

    Milletari et al., "V-Net" (2016), with sums instead of squares.
    """
    shared = (found * opacity * weight).sum((1, 2))
    sizes = ((found + opacity) * weight).sum((1, 2))
    return (1 - (2 * shared + 1) / (sizes + 1)).mean()
