"""Compare the videos of any system with the real ones: two files, or two folders with the same file names."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from lipsmith.cli import console
from lipsmith.cli.results import seen_from, write_figures
from lipsmith.errors import SomeFailedError
from lipsmith.files import refuse_outputs

if TYPE_CHECKING:
    from lipsmith.evaluation.film_pairs import Pair
    from lipsmith.evaluation.run import Evaluation


@dataclass(frozen=True, kw_only=True)
class Options(console.CpuOptions, console.JsonOptions, console.OutputOptions):
    """Frames are matched by number, or by time where the rates differ; faces are cropped as in training."""

    real: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="REAL")]
    """The real film, or a folder of films."""
    generated: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="GENERATED")]
    """The generated film, or a folder of films with the same names."""
    other_speech: bool = False
    """The generated film says other speech than the real film: measure only figures that need no ground truth."""
    side: int = 128
    """Crop size in pixels; published figures use 128."""
    judge: str = "sync"
    """The lip-sync judge: sync (ours), a folder, or syncnet_v2 (the official one, if its weights are installed)."""
    strips: Path | None = None
    """Also write a film strip of the start of each film into this folder, which `lipsmith report` reads if it is
    beside the JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        console.require_side(self.side)


def run(options: Options) -> None:
    """Score all pairs and print the totals."""
    from lipsmith.evaluation.film_pairs import find_pairs

    pairs = find_pairs(options.real, options.generated)
    films = (film for pair in pairs for film in (pair.real, pair.generated))
    inputs = (options.real, options.generated, *films)
    refuse_outputs([options.json], options.overwrite, inputs=inputs, folder=options.strips)
    evaluation, failed, settings = _score(options, pairs)
    _show(options, evaluation, failed, settings)
    if failed:
        raise SomeFailedError(failed, len(failed) + settings["films"])


def _score(options: Options, pairs: list[Pair]) -> tuple[Evaluation, list[tuple[str, str]], dict[str, Any]]:
    import torch

    from lipsmith.evaluation.about import about_outputs
    from lipsmith.evaluation.film_pairs import SYSTEM, score_pairs
    from lipsmith.evaluation.listening import load_listener
    from lipsmith.evaluation.report import write_strip
    from lipsmith.evaluation.scoring import Scorer, load_networks

    if options.threads:
        torch.set_num_threads(options.threads)
    scorer, listener = Scorer(load_networks(options.judge)), load_listener()
    with console.progress("scoring", len(pairs)) as progress:
        evaluation, failed = score_pairs(
            pairs, scorer, size=options.side, is_truth=not options.other_speech, listener=listener, progress=progress,
            watch=partial(write_strip, options.strips) if options.strips else None,
        )  # fmt: skip
    settings = {
        "real": options.real, "generated": options.generated, "other_speech": options.other_speech,
        "side": options.side, **scorer.settings, "systems": list(evaluation.totals), "plain": SYSTEM,
        "about": {SYSTEM: about_outputs(options.generated)} if options.generated.is_dir() else {},
        "intervals": evaluation.intervals, "missing": scorer.networks.missing | listener.missing,
        "strips": seen_from(options.json, options.strips), "films": len(pairs) - len(failed),
    }  # fmt: skip
    return evaluation, failed, settings


def _show(options: Options, evaluation: Evaluation, failed: list[tuple[str, str]], settings: dict[str, Any]) -> None:
    from lipsmith.evaluation.run import flat_figures
    from lipsmith.evaluation.systems import REAL
    from lipsmith.evaluation.tables import make_table

    table = make_table(f"{options.generated} against {options.real}", evaluation.totals, evaluation.intervals)
    figures = flat_figures(evaluation, settings["plain"])
    frames = sum(row["frames"] for row in evaluation.rows if row["system"] == REAL)
    figures |= {"clips": settings["films"], "frames": frames, "failed": len(failed)}
    try:
        write_figures(options.json, figures, settings, evaluation.rows, overwrite=options.overwrite)
    finally:  # what was measured is shown where it cannot be written
        console.table(table.title, table.header, table.body, None if options.json else sys.stdout)
    if settings["missing"]:
        console.table("Not measured", ("figure", "why"), list(settings["missing"].items()))
    if options.json:
        console.result(options.json)
