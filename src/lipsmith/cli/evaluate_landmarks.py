"""Measure the landmark generator alone, beside two baselines that hear no speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.results import write_figures


@dataclass(frozen=True, kw_only=True)
class Options(console.DeviceOptions, console.JsonOptions):
    """Self-reconstruction of landmarks: references from a clip's first half, figures on its second."""

    model: Annotated[str, tyro.conf.Positional]
    """A model's name or folder, or the folder of a training run."""
    data: Path
    """Prepared clips."""
    split: tuple[str, ...] = ("val", "test")
    """Splits to measure, each by itself."""
    write_offsets: bool = False
    """Instead find by how much each clip's speech lags its picture, and note it in the manifest."""


def run(options: Options) -> None:
    """Print the figures of each split, or of the offsets that were found."""
    from lipsmith.evaluate_landmarks import Evaluation, evaluate, find_offsets, load_stages, write_offsets

    stages, window, references = load_stages(options.model, options.device, options.threads)
    figures: dict[str, float] = {}
    rows: list[dict[str, object]] = []
    for split in options.split:
        with console.progress(split) as progress:
            found: Evaluation
            if options.write_offsets:
                found = offsets = find_offsets(stages, options.data, split, window, references, progress)
                write_offsets(options.data, offsets.seconds)
            else:
                found = evaluate(stages, options.data, split, window, references, progress)
        prefix = f"{split}." if len(options.split) > 1 else ""
        figures |= {prefix + name: value for name, value in found.figures.items()}
        rows += found.rows
    console.table("Landmarks", ("figure", "value"), list(figures.items()))
    write_figures(options.json, figures, {"model": options.model, "data": options.data, "split": options.split}, rows)
    if options.json:
        console.result(options.json)
