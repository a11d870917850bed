"""Adapted models under evaluation: for each clip, a model that was adapted to the clip's first half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.adaptation.mouth_task import MouthTask, speaks_itself
from lipsmith.adaptation.task import AdaptationTask
from lipsmith.data.clips import ClipRecord
from lipsmith.evaluation.model_system import ModelSystem
from lipsmith.evaluation.systems import ADAPTED, ReconstructionTask
from lipsmith.inference.model_folder import ModelFolder
from lipsmith.inference.stages import load_networks, make_stages
from lipsmith.inference.torch import TorchBackend, torch_device
from lipsmith.progress import Progress
from lipsmith.training.checkpoint import load_initial_weights
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.loop import Settings, fit
from lipsmith.training.renderer.config import RendererTraining

SHORTEST: Final = 8.0
"""Minimum seconds of a clip, whose first half is the film to adapt to."""


class AdaptedSystem:
    """Rebuilds each clip with the model adapted to it."""

    name = ADAPTED

    def __init__(self, models: Mapping[str, ModelSystem]) -> None:
        self._models = models

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """See `ModelSystem`. Predicted landmarks are those of the adapted model."""
        model = self._models[task.clip]
        if task.predicted:
            points = model.speak(task.sound, task.times, task.points, task.landmarks[task.allowed])
            task = replace(task, points=points)
        return model.reconstruct(task)


def adapt_to_clips(
    model: ModelFolder,
    mouth: LandmarkTraining,
    config: RendererTraining,
    data: Path,
    clips: Sequence[ClipRecord],
    device: str,
    progress: Progress,
) -> AdaptedSystem:
    """Adapt `model` to the first half of each of the `clips` in `data`, one after the other; each lasts 8 s.

    `mouth` and `config` train the two networks. `progress` is called after each clip.
    """
    models = {}
    for number, record in enumerate(clips, 1):
        models[record.clip] = _adapted(model, mouth, config, data, record.clip, device)
        progress(number, len(clips))
    return AdaptedSystem(models)


def _adapted(
    model: ModelFolder, mouth: LandmarkTraining, config: RendererTraining, data: Path, clip: str, device: str
) -> ModelSystem:
    generator, renderer = load_networks(model.path)
    with TemporaryDirectory() as run:
        settings = Settings(data, Path(run), device, str(model.path))
        if speaks_itself(model, data, half_of=clip):
            fit(MouthTask(mouth, half_of=clip), replace(settings, out=Path(run, "mouth")))
            load_initial_weights(generator, str(Path(run, "mouth")), "landmarks")
        fit(AdaptationTask(config, half_of=clip), settings)
        load_initial_weights(renderer, run, "renderer")
    backend = TorchBackend(make_stages(generator, renderer), torch_device(device))
    return ModelSystem(ADAPTED, backend, model.settings)
