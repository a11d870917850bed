"""Adapt a model to one person: train it for minutes on that person's own film, how the mouth moves and how it looks.

The result is a model folder for films of this person: give it as --model to `dub`, `batch` and `serve`. The last tenth
of each shot is held back to measure the gain; without a gain, the model's own weights are written. After an
interruption, the same command continues.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.results import write_figures
from lipsmith.errors import UsageError
from lipsmith.files import refuse_outputs

if TYPE_CHECKING:
    from lipsmith.adaptation.card import Adaptation


@dataclass(frozen=True, kw_only=True)
class Options(console.DeviceOptions, console.JsonOptions, console.OutputOptions):
    """Needs the `train` extra, and the weights of VGG (see `lipsmith weights`)."""

    films: Annotated[tyro.conf.Positional[tuple[Path, ...]], console.many("FILM...")]
    """Films of one person; the main face of each shot is learned, of at most five minutes in all."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o", "--output"])]
    """The model folder to write."""
    minutes: float = 10.0
    """Minutes of training, less if the held-back figures stand still. Preparing the film and writing the model come on
    top."""
    model: str = "fast"
    """Name or folder of the model to adapt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.films:
            raise UsageError("Give at least one film: lipsmith adapt FILM... -o FOLDER.")
        if not 0 < self.minutes < math.inf:
            raise UsageError("--minutes must be a number above 0.")


def run(options: Options) -> None:
    """Adapt, print the figures before and after, and print the folder's path."""
    from lipsmith.adaptation.job import adapt

    refuse_outputs([options.json], options.overwrite, inputs=options.films)
    found = adapt(
        options.films,
        options.out,
        options.minutes,
        model=options.model,
        device=options.device,
        threads=options.threads,
        overwrite=options.overwrite,
        progress_of=console.progress,
    )
    before, after = _with_mouth(found.before, found.mouth_before), _with_mouth(found.after, found.mouth_after)
    rows = [(name, before[name], after[name]) for name in sorted(before)]
    console.table("Held-back frames", ("figure", "before", "after"), rows)
    write_figures(options.json, _figures(found), _settings(options), [], overwrite=options.overwrite)
    console.result(options.out)
    if options.json:
        console.result(options.json)


def _with_mouth(figures: Mapping[str, float], mouth: Mapping[str, float]) -> dict[str, float]:
    """Figures of the renderer, and of the landmark generator as `mouth.NAME`."""
    return {**figures, **{f"mouth.{name}": value for name, value in mouth.items()}}


def _figures(found: Adaptation) -> dict[str, float]:
    before = {f"before.{name}": value for name, value in _with_mouth(found.before, found.mouth_before).items()}
    after = _with_mouth(found.after, found.mouth_after)
    return {**after, **before, "seconds": found.seconds, "minutes": found.minutes, "steps": found.steps}


def _settings(options: Options) -> dict[str, object]:
    return {name: value for name, value in asdict(options).items() if name in ("films", "out", "minutes", "model")}
