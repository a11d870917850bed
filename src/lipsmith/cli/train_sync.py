"""Train the lip-sync judge on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.files import refuse_input


@dataclass(frozen=True, kw_only=True)
class Options(console.TrainingOptions):
    """Train the lip-sync judge into OUT/sync; a run that was interrupted goes on where it stopped."""

    config: Annotated[str, tyro.conf.Positional]
    """A TOML file, or the name of a packaged one (fast)."""


def run(options: Options) -> None:
    """Train, and name the folder of the weights."""
    import torch

    from lipsmith.config import load_config
    from lipsmith.training.sync.task import SyncConfig, train

    refuse_input(options.out, options.data)
    if options.threads:
        torch.set_num_threads(options.threads)

    with console.progress("training") as progress:
        folder = train(
            load_config(SyncConfig, "sync", options.config),
            options.data,
            options.out,
            device=options.device,
            minutes=options.minutes,
            progress=progress,
        )
    console.result(folder)
