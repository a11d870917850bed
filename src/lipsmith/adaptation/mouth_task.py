"""The training task of an adaptation's first part: how one person's lips and jaw move with that person's own speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from lipsmith.adaptation.halfway import Halfway
from lipsmith.adaptation.task import held_back
from lipsmith.config import load_config
from lipsmith.data.clips import PreparedClip, load_clip, read_manifest
from lipsmith.errors import InputError
from lipsmith.evaluation.landmarks import make_trial, measure, total
from lipsmith.evaluation.protocols import FrameChoice
from lipsmith.face.references import LANDMARK_SETS
from lipsmith.inference.model_folder import ModelFolder, load_backend
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import LandmarkGenerator
from lipsmith.training.checkpoint import save_weights
from lipsmith.training.device import mixed_precision
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.landmarks.sampler import gather_footage, whole_windows
from lipsmith.training.landmarks.stages import as_backend
from lipsmith.training.landmarks.task import LandmarkTask

LEAST_R: Final = 0.25
"""Correlation of true and predicted opening below which the sound is not the person's speech. Unseen people have 0.46
and more, people with another's speech less than 0.1, silent ones 0."""
_SHARE_OF_TIME: Final = 0.25
_FIGURES: Final = ("lip_lmd", "l1_percent", "opening_r", "amplitude")


def mouth_config(model: ModelFolder, minutes: float) -> LandmarkTraining:
    """The packaged config `adapt`, for the sizes of `model`, with a quarter of the minutes at most.

    Raises WeightsError for a model without a landmark generator.
    """
    sizes, config = model.part(LandmarkConfig, "landmarks"), load_config(LandmarkTraining, "landmarks", "adapt")
    return replace(config, model=sizes, minutes=_SHARE_OF_TIME * minutes)


def speaks_itself(model: ModelFolder, data: Path, half_of: str | None = None) -> bool:
    """Whether the mouth in the clips moves with their sound, as the landmark generator of `model` hears it.

    A silent film, or one with another's voice, teaches nothing about speech. `half_of`: as of `AdaptationTask`.
    """
    stages, settings = load_backend(model, "cpu"), model.settings
    usable = _usable(data, settings.window, half_of)
    trials = [make_trial(part, LANDMARK_SETS, chosen=replace(x, targets=x.allowed)) for part, x in usable]
    if not trials:
        return False
    rows = [measure(stages, trial, settings.window, scarce=False) for trial in trials]
    return float(np.average([row["opening_r"] for row in rows], weights=[x.counted.sum() for x in trials])) >= LEAST_R


class MouthTask(LandmarkTask):
    """Trains a landmark generator on the clips of one person and validates it on their ends.

    `half_of`: as of `AdaptationTask`.
    """

    def __init__(self, config: LandmarkTraining, half_of: str | None = None) -> None:
        super().__init__(config)
        self._half_of = half_of
        self._halfway = Halfway()

    def load(self, data: Path, device: torch.device) -> str:
        """Load points and sound of the clips. Raises InputError if all are too short."""
        window = self.config.model.window
        usable = _usable(data, window, self._half_of)
        if not usable:
            raise InputError(f"{data}: no face stays in view for {2 * window} frames.")
        references = self.config.model.references
        self.trials = [make_trial(clip, references, chosen=choice) for clip, choice in usable]
        parts = [_beginning(clip, choice) for clip, choice in usable]
        self.footage = gather_footage(parts, window, self.config.augment.shifts, device)
        self.precision = mixed_precision(device)
        return f"{len(self.footage.points)} frames, {sum(int(x.counted.sum()) for x in self.trials)} held back"

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """Figures of the held-back frames; `score` is minus LipLMD, the figure that needs the fewest frames."""
        generator = self._halfway.of(self.exported(averaged))
        assert isinstance(generator, LandmarkGenerator)
        stages, chosen = as_backend(generator), self.trials[:trials]
        rows = [measure(stages, trial, self.config.model.window, scarce=False) for trial in chosen]
        figures = total(rows, [trial.record.identity for trial in chosen])
        return {"score": -figures["lip_lmd"]} | {name: figures[name] for name in _FIGURES if name in figures}

    def save(self, folder: Path, averaged: nn.Module, card: Mapping[str, Any]) -> None:
        """Write what was validated."""
        save_weights(folder / self.name, self._halfway.of(self.exported(averaged)).state_dict(), card)

    def finish(self, folder: Path) -> dict[str, float]:
        """Keep the start's `Placement`: one person's film is too short to fit it."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The start."""
        return {"start": self._halfway.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        self._halfway.start = dict(state["start"])


def _usable(data: Path, window: int, half_of: str | None) -> list[tuple[PreparedClip, FrameChoice]]:
    """The clips with frames held back, whose other frames fill two windows and hold one, and the roles of their
    frames."""
    records = [record for record in read_manifest(data) if half_of in (None, record.clip)]
    clips = [load_clip(data, record, images=False) for record in records]
    chosen = [(clip, choice) for clip in clips if (choice := held_back(clip, halved=half_of is not None))]
    return [
        (clip, choice)
        for clip, choice in chosen
        if len(choice.allowed) >= 2 * window
        and len(whole_windows(_beginning(clip, choice), window))
        and clip.tracked[choice.targets].any()
    ]


def _beginning(clip: PreparedClip, choice: FrameChoice) -> PreparedClip:
    """The frames of a clip up to the last allowed one."""
    end = int(choice.allowed[-1]) + 1
    frames = {name: getattr(clip, name)[:end] for name in ("landmarks", "transforms", "times", "tracked")}
    return replace(clip, record=replace(clip.record, frames=end), **frames)
