"""Evaluate the landmark generator alone, together with two baselines that use no speech."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import tyro

from lipsmith.cli import console
from lipsmith.cli.results import write_figures
from lipsmith.files import refuse_existing, refuse_outputs
from lipsmith.progress import Progress

if TYPE_CHECKING:
    from lipsmith.evaluation.landmarks import LandmarkEvaluation, TrainedGenerator
    from lipsmith.evaluation.offsets import ClipOffsets
    from lipsmith.speech.phonemes import Phonemes

_BASELINES: Final = ("mean", "nearest")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(console.DeviceOptions, console.JsonOptions, console.OutputOptions):
    """Self-reconstruction of landmarks: references come from a clip's first half, figures from its second half.

    opening_r uses the clip's own speech; leak_r uses other people's speech and measures the trace of the original words
    in the pose.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Name or folder of a model, or the folder of a training run."""
    data: Path
    """Prepared clips."""
    split: tuple[str, ...] = ("val", "test")
    """Splits to evaluate, one after the other."""
    write_offsets: bool = False
    """Instead of evaluating, estimate each clip's audio delay and write it to the manifest."""


def run(options: Options) -> None:
    """Print the figures of each split, or those of the estimated offsets."""
    from lipsmith.data.clips import MANIFEST, read_manifest
    from lipsmith.training.landmarks.stages import load_generator

    refuse_outputs([options.json], options.overwrite, inputs=[options.model, options.data])
    if options.write_offsets:
        refuse_existing(options.data / MANIFEST, overwrite=True)
    for split in options.split:
        read_manifest(options.data, split)  # fail on a missing split before evaluating the others
    generator = load_generator(options.model, options.device, options.threads)
    figures: dict[str, float] = {}
    rows: list[dict[str, object]] = []
    measure = _offsets if options.write_offsets else _figures
    for split in options.split:
        with console.progress(split) as progress:
            found = measure(generator, options.data, split, progress)
        prefix = f"{split}." if len(options.split) > 1 else ""
        figures |= {prefix + name: value for name, value in found.figures.items()}
        rows += found.rows
    settings = {"model": options.model, "data": options.data, "split": options.split}
    columns = ("figure", "generator", "mean", "nearest")
    try:
        write_figures(options.json, figures, settings, rows, overwrite=options.overwrite)
    finally:  # what was measured is shown where it cannot be written
        console.table("Landmarks", columns, beside_baselines(figures), None if options.json else sys.stdout)
    if options.json:
        console.result(options.json)


def _figures(generator: TrainedGenerator, data: Path, split: str, progress: Progress) -> LandmarkEvaluation:
    from lipsmith.evaluation.landmarks import evaluate

    return evaluate(generator, data, split, progress, _phonemes(data, split))


def _phonemes(data: Path, split: str) -> Mapping[str, Phonemes]:
    from lipsmith.evaluation.listening import split_phonemes

    missing: dict[str, str] = {}
    with console.progress(f"{split}: phonemes") as progress:
        found = split_phonemes(data, [split], progress, missing)
    for figure, reason in missing.items():
        _LOG.warning("%s: %s is not measured: %s", split, figure, reason)
    return found


def _offsets(generator: TrainedGenerator, data: Path, split: str, progress: Progress) -> ClipOffsets:
    from lipsmith.evaluation.offsets import find_landmark_offsets, note_offsets

    found = find_landmark_offsets(generator, data, split, progress)
    note_offsets(data, found.seconds)
    return found


def beside_baselines(figures: Mapping[str, float]) -> list[tuple[str, float | str, float | str, float | str]]:
    """Rows of figure name, generator, mean of the references, reference nearest in pose; missing values are empty."""
    rows: dict[str, dict[str, float]] = {}
    for name, value in figures.items():
        *scope, figure = name.split(".")
        system = scope.pop() if scope and scope[-1] in _BASELINES else ""
        rows.setdefault(".".join([*scope, figure]), {})[system] = value
    return [(name, row.get("", ""), row.get("mean", ""), row.get("nearest", "")) for name, row in rows.items()]
