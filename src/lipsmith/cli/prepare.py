"""Turn footage into aligned clips for training and evaluation.

Folders named train, val and test define the split; the original layouts of LRS2, LRW and VoxCeleb are supported. In
other footage, the innermost folder names the speaker; without folders, the film's name without its number does. After
an interruption, the same command continues. Footage that yields no clip is listed with the reason, on stderr and in
DST/left_out.jsonl.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.results import write_figures
from lipsmith.errors import SomeFailedError, UsageError, counted
from lipsmith.files import refuse_outputs

if TYPE_CHECKING:
    from lipsmith.data.clips import ClipRecord
    from lipsmith.data.prepare import Summary

_LOG = logging.getLogger(__name__)
_FEW = 20
"""Without -v, more skipped sources than this are counted by reason instead of listed."""
_NAMED = 5
"""People in several splits that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Options(console.JsonOptions):
    """Sources that are already prepared are skipped, unless their clips were deleted."""

    paths: Annotated[tyro.conf.Positional[tuple[Path, ...]], console.many("SRC... DST")]
    """Files, folders or quoted patterns such as 'footage/**/*.mp4', followed by the folder for the clips."""

    side: int = 128
    """Crop size in pixels."""

    workers: Annotated[int | None, console.by_default("one per core")] = None
    """Clips processed in parallel."""

    overwrite: bool = False
    """Replace the --json file if it exists."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.paths) < 2:
            raise UsageError("Give footage and the folder for the clips: lipsmith prepare SRC... DST.")
        if self.paths[-1].is_file():
            raise UsageError(f"{self.paths[-1]} is a file; give the folder for the clips as the last path.")
        console.require_side(self.side)
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers} is below 1; give 1 or more.")


def run(options: Options) -> None:
    """Prepare, print the counts, and print the folder's path."""
    from lipsmith.data.prepare import prepare
    from lipsmith.data.prepare.layouts import find_jobs

    *sources, folder = options.paths
    if options.json:
        inputs = (*(job.source for job in find_jobs(sources, folder)), folder)
        refuse_outputs([options.json], options.overwrite, inputs=inputs)
    began = time.monotonic()
    with console.progress("sources") as progress:
        summary = prepare(sources, folder, side=options.side, workers=options.workers, progress=progress)
    figures = _figures(summary, time.monotonic() - began)
    _tell(figures, summary)
    settings = {"sources": sources, "folder": folder, "side": options.side, "workers": options.workers}
    write_figures(
        options.json, figures, settings, [asdict(record) for record in summary.fresh], overwrite=options.overwrite
    )
    console.result(folder)
    if options.json:
        console.result(options.json)
    if summary.left_out:
        raise _left_out(summary, every=options.verbose)


def _figures(summary: Summary, seconds: float) -> dict[str, float]:
    frames = sum(record.frames for record in summary.records)
    fresh = sum(record.frames for record in summary.fresh)
    tracked = sum(record.tracked * record.frames for record in summary.records)
    return {
        "sources": summary.sources,
        "left_out": len(summary.left_out),
        "clips": len(summary.records),
        "fresh_clips": len(summary.fresh),
        "frames": frames,
        "minutes": sum(record.seconds for record in summary.records) / 60,
        "percent_with_face": 100 * tracked / frames,
        "seconds": seconds,
        "fps": fresh / seconds,
    }


def _tell(figures: Mapping[str, float], summary: Summary) -> None:
    # Splits and people are inferred from the folders, so the user should check them.
    counts = Counter(record.split for record in summary.records)
    splits = ", ".join(f"{count} {split}" for split, count in sorted(counts.items()))
    people = len({record.identity for record in summary.records})
    clips = f"{counted(counts.total(), 'clip')} ({splits}) of {counted(people, 'person', 'people')}"
    length, face = f"{figures['minutes']:.1f} minutes", figures["percent_with_face"]
    _LOG.info("%s, %s; a face in %.2f %% of the frames", clips, length, face)
    if shared := _in_several_splits(summary.records):
        more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
        names = ", ".join(shared[:_NAMED]) + more
        _LOG.warning("figures are too good if these people in several splits are the same: %s", names)
    if figures["fresh_clips"]:
        rate, fresh, seconds = figures["fps"], figures["fresh_clips"], figures["seconds"]
        _LOG.info("%.0f of them prepared now, in %.1f s: %.0f frames/s", fresh, seconds, rate)


def _in_several_splits(records: Sequence[ClipRecord]) -> list[str]:
    splits: dict[str, set[str]] = {}
    for record in records:
        splits.setdefault(record.identity, set()).add(record.split)
    return [f"{person} ({', '.join(sorted(found))})" for person, found in splits.items() if len(found) > 1]


def _left_out(summary: Summary, every: bool) -> SomeFailedError:
    """The error whose table lists the skipped sources, or counts them by reason if there are many."""
    each = [(source, f"{reason}: {why}" if why else reason) for source, (reason, why) in summary.left_out.items()]
    error = SomeFailedError(each, summary.sources)
    if len(each) > _FEW and not every:
        counts = Counter(reason for reason, _ in summary.left_out.values())
        error.failures = [(counted(number, "source"), reason) for reason, number in counts.most_common()]
        error.failures = [*error.failures, ("the full list", "run the command again with -v")]
    return error
