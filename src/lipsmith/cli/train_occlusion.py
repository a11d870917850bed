"""Train the network that finds what lies before a face, on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.training import TrainingOptions, train


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """The network is written to the model folder OUT/occlusion; a dub keeps what it finds as filmed. The same command
    resumes an interrupted run."""

    config: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """A TOML file, or the name of a packaged one (fast)."""


def run(options: Options) -> None:
    """Train, print the best figures, export the network, and print the path of the model folder."""
    from lipsmith.config import load_config
    from lipsmith.release.export_occlusion import export_occlusion
    from lipsmith.training.occlusion.config import OcclusionTraining
    from lipsmith.training.occlusion.task import OcclusionTask

    config = load_config(OcclusionTraining, "occlusion", options.config)
    train(OcclusionTask(options.applied(config), options.out / "drawn"), options)
    export_occlusion(options.out / "occlusion")
    console.result(options.out / "occlusion")
