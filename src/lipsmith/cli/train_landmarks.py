"""Train speech to lip and jaw landmarks on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.files import refuse_input


@dataclass(frozen=True, kw_only=True)
class Options(console.TrainingOptions):
    """Train the landmark generator; a run that was interrupted goes on where it stopped."""

    config: Annotated[str, tyro.conf.Positional]
    """A TOML file, or the name of a packaged one (fast, paper, posteriors)."""
    start: str | None = None
    """Begin with this network: the folder of another run, or a model's name or folder (fine-tuning)."""


def run(options: Options) -> None:
    """Train, tell the best validation figures, and name the weights."""
    import torch

    from lipsmith.config import load_config
    from lipsmith.training.landmarks.task import WEIGHTS, LandmarkTraining, train_landmarks

    refuse_input(options.out, options.data, options.start)
    if options.threads:
        torch.set_num_threads(options.threads)
    config = load_config(LandmarkTraining, "landmarks", options.config)
    best = train_landmarks(
        config, options.data, options.out, minutes=options.minutes, device=options.device, start=options.start
    )
    console.table("Best on val", ("figure", "value"), sorted(best.items()))
    console.result(options.out / WEIGHTS)
