"""Find the audio-video offset of a film, or of every clip of a prepared folder."""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.evaluate import require_wave
from lipsmith.cli.results import write_figures
from lipsmith.errors import UsageError
from lipsmith.files import refuse_existing, refuse_outputs

MIN_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Options(console.CpuOptions, console.JsonOptions, console.OutputOptions):
    """Offsets are in frames at 25 per second; a positive offset means that the speech is late."""

    video: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PATH")]
    """A film with one speaking face, or a folder of prepared clips."""
    judge: str = "sync"
    """The lip-sync judge: sync (ours), a folder, or syncnet_v2 (the official one, if its weights are installed)."""
    seconds: float = 120.0
    """Seconds of the film to use, from its start."""
    split: str | None = None
    """Only this split of a prepared folder."""
    write: bool = False
    """Write the offsets to the prepared folder's manifest, so that training corrects for them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not MIN_SECONDS <= self.seconds < math.inf:
            raise UsageError(f"--seconds {self.seconds:g} should be a number of at least {MIN_SECONDS:g}.")
        if self.video.is_dir():
            require_wave(self.judge)


def run(options: Options) -> None:
    """Find and print the offsets, and write them with --write."""
    import torch

    from lipsmith.data.clips import MANIFEST

    if (options.write or options.split) and not options.video.is_dir():
        raise UsageError(f"{'--write' if options.write else '--split'} needs a folder of prepared clips.")
    refuse_outputs([options.json], options.overwrite, inputs=[options.video])
    if options.write:
        refuse_existing(options.video / MANIFEST, overwrite=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.video.is_dir():
        _folder(options)
    else:
        _film(options)
    if options.json:
        console.result(options.json)


def _film(options: Options) -> None:
    from lipsmith.evaluation.metrics.judge import load_judge
    from lipsmith.evaluation.offsets import find_film_offset

    judge = load_judge(options.judge)
    offset = find_film_offset(options.video, judge, options.seconds)
    figures = {
        "offset_frames": offset.frames, "offset_seconds": offset.seconds,
        "lse_c": offset.figures.lse_c, "lse_d": offset.figures.lse_d,
    }  # fmt: skip
    settings = {"video": options.video, "judge": judge.name, "windows": offset.windows}
    write_figures(
        options.json, figures, settings, [{"curve": offset.figures.curve.tolist()}], overwrite=options.overwrite
    )
    row = (str(options.video), offset.frames, offset.seconds, offset.figures.lse_c, offset.figures.lse_d)
    columns = ("film", "offset (frames)", "seconds", "confidence", "distance")
    console.table(f"Judge: {judge.name}", columns, [row], None if options.json else sys.stdout)


def _folder(options: Options) -> None:
    from lipsmith.evaluation.metrics.judge import load_judge
    from lipsmith.evaluation.offsets import find_judged_offsets, note_offsets

    judge = load_judge(options.judge)
    with console.progress("clips") as progress:
        found = find_judged_offsets(options.video, judge, options.split, progress)
    if options.write:
        note_offsets(options.video, found.seconds)
    settings = {"data": options.video, "judge": judge.name, "noted": options.write}
    write_figures(options.json, found.figures, settings, found.rows, overwrite=options.overwrite)
    counts = Counter(round(lag * 25) for lag in found.seconds.values())
    stream = None if options.json else sys.stdout
    columns = ("audio delay (frames)", "clips")
    console.table(f"Clips by audio delay (judge: {judge.name})", columns, sorted(counts.items()), stream)
    accuracy = (
        "1 s windows nearer in sync than shifted, at the offsets stored before",
        f"{found.figures['sync_accuracy']:.1%}",
    )
    console.table("The judge", ("figure", "share"), [accuracy], stream)
