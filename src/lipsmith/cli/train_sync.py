"""Train the lip-sync judge on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.training import TrainingOptions, train


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """The judge is written to the model folder OUT/sync. The same command resumes an interrupted run."""

    config: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """A TOML file, or the name of a packaged one (fast)."""


def run(options: Options) -> None:
    """Train, print the best figures, and print the path of the model folder."""
    from lipsmith.config import load_config
    from lipsmith.training.sync.config import SyncTraining
    from lipsmith.training.sync.task import SyncTask

    config = load_config(SyncTraining, "sync", options.config)
    train(SyncTask(options.applied(config)), options)
    console.result(options.out / "sync")
