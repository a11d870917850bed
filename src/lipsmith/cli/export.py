"""Write the model folder of two trained networks: weights, ONNX stages checked against torch, and a card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.errors import UsageError
from lipsmith.files import refuse_outputs


@dataclass(frozen=True, kw_only=True)
class Options(console.OutputOptions):
    """Needs the `train` extra; takes a minute or two."""

    landmarks: Path
    """Run folder of `lipsmith train landmarks`, or a model folder whose landmark generator is kept."""
    renderer: Path
    """Run folder of `lipsmith train renderer`, or a model folder whose renderer is kept."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o", "--output"])]
    """The model folder to make."""
    name: str | None = None
    """The model's name; the folder's when left out."""
    data: str = "Not recorded."
    """What it was trained on, in words, for the card."""
    hardware: str = "not recorded"
    """What it was trained on, for how long, in words, for the card."""
    licence: str | None = None
    """Terms of the weights, in words, for the card; to be given where a network of another model is kept."""


def run(options: Options) -> None:
    """Export, and name the folder."""
    from lipsmith.export import export

    refuse_outputs([], options.overwrite, inputs=[options.landmarks, options.renderer], folder=options.out)
    kept = next((path for path in (options.landmarks, options.renderer) if (path / "config.json").exists()), None)
    if kept is not None and options.licence is None:
        raise UsageError(f"{kept} is a model with terms of its own, in its CARD.md; say with --licence what holds now")
    export(
        options.landmarks,
        options.renderer,
        options.out,
        options.name or options.out.resolve().name,
        data=options.data,
        hardware=options.hardware,
        licence=options.licence or "no terms recorded.",
    )
    console.result(options.out)
