"""Write the model folder of two trained networks: weights, ONNX stages checked against torch, and a card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Options(console.OutputOptions):
    """Needs the `train` extra; takes a minute or two."""

    landmarks: Path
    """Run folder of `lipsmith train landmarks`, or a model folder whose landmark generator is kept."""
    renderer: Path
    """Run folder of `lipsmith train renderer`, or a model folder whose renderer is kept."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The model folder to make."""
    name: str = "fast"
    """The model's name."""
    data: str = "Not recorded."
    """What it was trained on, in words, for the card."""
    hardware: str = "not recorded"
    """What it was trained on, for how long, in words, for the card."""
    licence: str = "no terms recorded."
    """Terms of the weights, in words, for the card."""


def run(options: Options) -> None:
    """Export, and name the folder."""
    from lipsmith.export import export

    if (options.out / "config.json").exists() and not options.overwrite:
        raise UsageError(f"{options.out} holds a model; choose another folder or add --overwrite")
    export(
        options.landmarks,
        options.renderer,
        options.out,
        options.name,
        data=options.data,
        hardware=options.hardware,
        licence=options.licence,
    )
    console.result(options.out)
