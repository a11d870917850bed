"""Train the renderer, which turns landmarks and references into pictures, on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.training import TrainingOptions, train
from lipsmith.errors import UsageError
from lipsmith.models.renderer.config import Part


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """The same command resumes an interrupted run."""

    config: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """A TOML file, or the name of a packaged one (fast, fast_gpu, paper, paper_small; continue, decoder, adversarial).
    Compared systems are wav2lip and iplap, or narrow for a CPU wav2lip_small and iplap_small."""
    without: Annotated[tuple[Part, ...], console.by_default("none")] = ()
    """Parts to remove, as in the paper's ablations."""


def run(options: Options) -> None:
    """Train, print the best figures, and print the path of the weights."""
    from lipsmith.training.renderer.config import RendererTraining
    from lipsmith.training.renderer.systems import load_training, make_task

    config = options.applied(load_training(options.config))
    if isinstance(config, RendererTraining):
        config = replace(config, model=config.model.without(options.without))
    elif options.without:
        raise UsageError(f"--without removes parts of our renderer, but {options.config} is {config.system}.")
    train(make_task(config), options)
    console.result(options.out / "renderer.safetensors")
