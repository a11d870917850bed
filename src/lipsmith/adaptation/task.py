"""The training task of an adaptation: one person's clips, of which the ends are held back and never trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from lipsmith.adaptation.halfway import Halfway
from lipsmith.config import load_config
from lipsmith.data.clips import PreparedClip, read_manifest
from lipsmith.errors import InputError
from lipsmith.evaluation.protocols import GAP, MIN_STRICT_SECONDS, FrameChoice
from lipsmith.face.references import POOL, choose_pool
from lipsmith.inference.model_folder import ModelFolder
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.training.device import mixed_precision
from lipsmith.training.renderer.config import RendererTraining
from lipsmith.training.renderer.sampler import MIN_SPLIT_FRAMES, Footage, fixed_batches
from lipsmith.training.renderer.task import RendererTask

HELD_BACK: Final = 0.1
"""Share of each clip, at its end, that is held back."""
_TRIALS: Final = 24
"""Held-back frames that are measured, about."""

Watch = Callable[[Mapping[str, float]], None]
"""Called with the figures of the held-back frames, of the start first."""


def adaptation_config(model: ModelFolder, minutes: float) -> RendererTraining:
    """The packaged config `adapt`, for the sizes of `model`. Raises WeightsError for a model without a renderer."""
    sizes, config = model.part(RendererConfig, "renderer"), load_config(RendererTraining, "renderer", "adapt")
    return replace(config, model=sizes, minutes=minutes, pool=max(config.pool, sizes.references))


def held_back(clip: PreparedClip, halved: bool = False) -> FrameChoice | None:
    """The roles of the frames of a clip, or of its first half: the last tenth is to rebuild, the frames before are
    allowed as references, except for 0.2 s before that tenth and at the start, where another clip may end.

    None if that is under 2 s long, or shows too little of the face.
    """
    seconds = clip.record.seconds / 2 if halved else clip.record.seconds
    times = clip.times - clip.times[0] + 1e-6  # against rounding
    cut = (1 - HELD_BACK) * seconds
    allowed = np.flatnonzero(clip.tracked & (times >= GAP) & (times < cut - GAP))
    targets = np.flatnonzero((times >= cut) & (times < seconds))
    if seconds < MIN_STRICT_SECONDS or len(allowed) < MIN_SPLIT_FRAMES or not len(targets):
        return None
    return FrameChoice(targets, allowed, allowed[choose_pool(clip.landmarks[allowed], None, min(len(allowed), POOL))])


class AdaptationTask(RendererTask):
    """Trains a renderer on the clips of one person and validates it on their ends.

    `half_of`: the clip whose first half is all that is used; None for all clips.
    """

    def __init__(self, config: RendererTraining, watch: Watch | None = None, half_of: str | None = None) -> None:
        super().__init__(config)
        self._watch, self._half_of = watch, half_of
        self._halfway = Halfway()

    def load(self, data: Path, device: torch.device) -> str:
        """Load the clips and VGG. Raises InputError if the clips are too short, WeightsError if VGG is missing."""
        records = [record for record in read_manifest(data) if self._half_of in (None, record.clip)]
        choose = partial(held_back, halved=self._half_of is not None)
        self.footage = Footage(data, records, self.config.model.neighbors, device, choose)
        targets = sum(len(choice.targets) for choice in self.footage.choices if choice)
        self.trials = list(fixed_batches(self.footage, self.config, max(1, targets // _TRIALS)))
        if not self.trials:
            raise InputError(f"{records[0].source}: no face stays in view for {MIN_STRICT_SECONDS:g} s.")
        self.footage.spans = self.footage.only_allowed()
        self.precision = mixed_precision(device)
        self.load_judges(device)
        return f"{int(self.footage.spans.length.sum())} frames, {targets} held back"

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """Figures of the held-back frames, which are also passed to `watch`; see `measure`."""
        figures = super().validate(self._halfway.of(averaged), trials)
        if self._watch is not None and trials is None:
            self._watch(figures)
        return figures

    def save(self, folder: Path, averaged: nn.Module, card: Mapping[str, Any]) -> None:
        """Write what was validated."""
        super().save(folder, self._halfway.of(averaged), card)

    def state_dict(self) -> dict[str, Any]:
        """The start."""
        return {"start": self._halfway.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        self._halfway.start = dict(state["start"])
