"""What the verbs that train share: their options, and one call of the training loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lipsmith.cli import console
from lipsmith.errors import UsageError
from lipsmith.files import refuse_input

if TYPE_CHECKING:
    from lipsmith.training.task import Task, TrainingConfig

C = TypeVar("C", bound="TrainingConfig")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(console.DeviceOptions):
    """Mixin of verbs that train on prepared clips."""

    data: Path
    """Prepared clips, with the splits train and val."""
    out: Path
    """Folder of the run: best weights, checkpoint, log, curves. A run that is there is continued."""
    minutes: float | None = None
    """End after this many minutes, with the learning rate annealed; as the config says when left out."""
    steps: int | None = None
    """End after this many steps, likewise."""
    start: str | None = None
    """Begin with this network: the folder of another run, or a model's name or folder (fine-tuning)."""
    seed: int | None = None
    """Of weights and samples; as the config says when left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minutes is not None and self.minutes <= 0:
            raise UsageError("--minutes must be above 0")
        if self.steps is not None and self.steps < 1:
            raise UsageError("--steps must be at least 1")

    def applied(self, config: C) -> C:
        """The config with what the command line says instead."""
        given: dict[str, Any] = {"minutes": self.minutes, "steps": self.steps, "seed": self.seed}
        return replace(config, **{name: value for name, value in given.items() if value is not None})


def train(task: Task[Any], options: TrainingOptions) -> None:
    """Train, and show the figures of the best weights."""
    import torch

    from lipsmith.training.loop import Settings, fit

    refuse_input(options.out, options.data, options.start)
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = Settings(options.data, options.out, options.device, options.start)
    with console.progress("training") as progress:
        best = fit(task, settings, progress)
    console.table("Best on val", ("figure", "value"), sorted(best.items()))
