"""Train the lip detector on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.training import TrainingOptions, train


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """The detector is written to the model folder OUT/lips; the renderer's training asks it where lips are. The same
    command resumes an interrupted run."""

    config: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """A TOML file, or the name of a packaged one (fast)."""


def run(options: Options) -> None:
    """Train, print the best figures, and print the path of the model folder."""
    from lipsmith.config import load_config
    from lipsmith.training.lips.config import LipsTraining
    from lipsmith.training.lips.task import LipsTask

    config = load_config(LipsTraining, "lips", options.config)
    train(LipsTask(options.applied(config)), options)
    console.result(options.out / "lips")
