"""Train landmarks and references to pictures, on prepared clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.errors import UsageError
from lipsmith.files import refuse_input
from lipsmith.models.renderer.config import Part


@dataclass(frozen=True, kw_only=True)
class Options(console.TrainingOptions):
    """Train the renderer; a run that was interrupted goes on where it stopped."""

    config: Annotated[str, tyro.conf.Positional]
    """A TOML file, or the name of a packaged one (fast, fast_gpu, paper; continue, decoder, adversarial)."""
    steps: int | None = None
    """End after this many optimiser steps, learning rate annealed; as the config says where not given."""
    without: tuple[Part, ...] = ()
    """Parts to leave out, as the paper's ablations do."""
    start: str | None = None
    """Begin with this network: the folder of another run, or a model's name or folder (fine-tuning)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps {self.steps} is no step to train for")


def run(options: Options) -> None:
    """Train, tell the best validation figures, and name the weights."""
    import torch

    from lipsmith.config import load_config
    from lipsmith.training.renderer.config import RendererTraining
    from lipsmith.training.renderer.task import WEIGHTS, train_renderer

    refuse_input(options.out, options.data, options.start)
    if options.threads:
        torch.set_num_threads(options.threads)
    config = load_config(RendererTraining, "renderer", options.config)
    config = replace(
        config,
        model=config.model.without(options.without),
        minutes=options.minutes or config.minutes,
        steps=options.steps or config.steps,
    )
    best = train_renderer(config, options.data, options.out, device=options.device, start=options.start)
    console.table("Best on val", ("figure", "value"), sorted(best.items()))
    console.result(options.out / f"{WEIGHTS}.safetensors")
