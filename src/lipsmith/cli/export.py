"""Write the model folder of two trained networks: weights, ONNX stages checked against torch, and a card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.files import refuse_outputs


@dataclass(frozen=True, kw_only=True)
class Options(console.OutputOptions):
    """Needs the `train` extra; takes a minute or two."""

    landmarks: str
    """Run folder of `lipsmith train landmarks`, or a model's name or folder whose landmark generator is kept."""
    renderer: str
    """Run folder of `lipsmith train renderer`, or a model's name or folder whose renderer is kept."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o", "--output"])]
    """The model folder to make."""
    name: str | None = None
    """The model's name; the folder's when left out."""
    data: str = "Not recorded."
    """What it was trained on, in words, for the card."""
    hardware: str = "not recorded"
    """What it was trained on, for how long, in words, for the card."""
    license: str | None = None
    """Terms of the weights, in words, for the card; to be given where they derive from another model."""


def run(options: Options) -> None:
    """Export, and name the folder."""
    from lipsmith.release.export import export

    refuse_outputs([], options.overwrite, inputs=[options.landmarks, options.renderer], folder=options.out)
    export(
        options.landmarks,
        options.renderer,
        options.out,
        options.name or options.out.resolve().name,
        data=options.data,
        hardware=options.hardware,
        license=options.license,
    )
    console.result(options.out)
