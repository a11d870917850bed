"""Write a model folder from two trained networks: weights, ONNX stages checked against torch, and a card."""

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
    """Run folder of `lipsmith train landmarks`, or the name or folder of a model whose landmark generator is reused."""
    renderer: str
    """Run folder of `lipsmith train renderer`, or the name or folder of a model whose renderer is reused."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o", "--output"])]
    """The model folder to write."""
    name: Annotated[str | None, console.by_default("name of the folder")] = None
    """Name of the model."""
    data: str = "Not recorded."
    """Description of the training data, for the card."""
    hardware: str = "not recorded"
    """Description of the training hardware and time, for the card."""
    license: str | None = None
    """License of the weights, for the card; required if they derive from another model."""


def run(options: Options) -> None:
    """Export, and print the folder's path."""
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
