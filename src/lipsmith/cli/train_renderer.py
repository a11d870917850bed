"""Train the renderer, which turns landmarks and references into pictures, on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.training import TrainingOptions, train
from lipsmith.models.renderer.config import Part


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """The same command resumes an interrupted run."""

    config: Annotated[str, tyro.conf.Positional]
    """A TOML file, or the name of a packaged one (fast, fast_gpu, paper; continue, decoder, adversarial)."""
    without: tuple[Part, ...] = ()
    """Parts to remove, as in the paper's ablations."""


def run(options: Options) -> None:
    """Train, print the best figures, and print the path of the weights."""
    from lipsmith.config import load_config
    from lipsmith.training.renderer.config import RendererTraining
    from lipsmith.training.renderer.task import RendererTask

    config = options.applied(load_config(RendererTraining, "renderer", options.config))
    train(RendererTask(replace(config, model=config.model.without(options.without))), options)
    console.result(options.out / "renderer.safetensors")
