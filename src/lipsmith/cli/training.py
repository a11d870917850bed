"""Shared parts of the training verbs: their options, and one call of the training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from lipsmith.cli import console
from lipsmith.errors import UsageError
from lipsmith.files import refuse_clashes, refuse_filled

if TYPE_CHECKING:
    from lipsmith.training.task import Task, TrainingConfig

C = TypeVar("C", bound="TrainingConfig")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(console.DeviceOptions):
    """Mixin of verbs that train on prepared clips."""

    data: Path
    """Prepared clips, with the splits train and val."""
    out: Path
    """Folder of the run: best weights, checkpoint, log and curves. An existing run is resumed."""
    minutes: Annotated[float | None, console.by_default("from the config")] = None
    """Stop after this many minutes, with the learning rate annealed by then."""
    steps: Annotated[int | None, console.by_default("from the config")] = None
    """Stop after this many steps, with the learning rate annealed by then."""
    start: str | None = None
    """Start from this network (fine-tuning): the folder of another run, or the name or folder of a model."""
    seed: Annotated[int | None, console.by_default("from the config")] = None
    """Seed of weights and samples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError("--minutes must be a number above 0.")
        if self.steps is not None and self.steps < 1:
            raise UsageError("--steps must be at least 1.")

    def applied(self, config: C) -> C:
        """The config, overridden by the command line. Raises UsageError for a seed that is out of range."""
        given: dict[str, Any] = {"minutes": self.minutes, "steps": self.steps, "seed": self.seed}
        try:
            return replace(config, **{name: value for name, value in given.items() if value is not None})
        except ValueError as error:
            raise UsageError(f"--{error}.") from error


def train(task: Task[Any], options: TrainingOptions) -> None:
    """Train, and print the figures of the best weights."""
    import torch

    from lipsmith.training.loop import Settings, fit

    refuse_clashes([options.out], [options.data, options.start])
    refuse_filled(options.out, overwrite=True)  # a run is continued, but not a file
    _require_start(options.start, task.name)
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = Settings(options.data, options.out, options.device, options.start)
    with console.progress("training") as progress:
        best = fit(task, settings, progress)
    console.table("Best on val", ("figure", "value"), sorted(best.items()))


def _require_start(start: str | None, network: str) -> None:
    """Raise UsageError for a start that is a run of other networks."""
    from lipsmith.inference.model_folder import networks_of_run

    found = networks_of_run(start) if start else []
    if found and network not in found:
        raise UsageError(f"--start {start} is a run of {' and '.join(found)}; give a run of {network}, or a model.")
