"""Train the landmark generator, which predicts lip and jaw landmarks from speech, on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.training import TrainingOptions, train


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """The same command resumes an interrupted run."""

    config: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """A TOML file, or the name of a packaged one (fast, paper, posteriors)."""


def run(options: Options) -> None:
    """Train, print the best figures, and print the path of the weights."""
    from lipsmith.config import load_config
    from lipsmith.training.landmarks.config import LandmarkTraining
    from lipsmith.training.landmarks.task import LandmarkTask

    config = load_config(LandmarkTraining, "landmarks", options.config)
    train(LandmarkTask(options.applied(config)), options)
    console.result(options.out / "landmarks.safetensors")
