"""Dub every row of a table, on this machine or on a Ray cluster.

Same as lipsmith dub --pairs, whose journal it continues, and which this command continues. On a cluster, the machines
must see the same files under the same names, and have the same version of lipsmith, with the extra cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from lipsmith.cli import console
from lipsmith.dubbing.options import DubOptions

if TYPE_CHECKING:
    from lipsmith.dubbing.pairs import Job


@dataclass(frozen=True, kw_only=True)
class Options(console.DeviceOptions, DubOptions):
    """A table of dubs, and how to dub."""

    table: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CSV")]
    """A CSV file with the columns video, speech and output."""

    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="OUT")] = None
    """A folder for the results, instead of the table's folder."""

    model: str = "fast"
    """Name or folder of the model."""

    on: Literal["here", "ray"] = "here"
    """Where to dub: on this machine (here), or on a Ray cluster (ray): the one in RAY_ADDRESS, else one that runs on
    this machine, else one that is started for this command. On a cluster, each worker takes --threads cores, by
    default one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        DubOptions.__post_init__(self)


def run(options: Options) -> None:
    """Dub every row and print the path of each result once it is written."""
    from lipsmith.dubbing.journal import journal_of
    from lipsmith.dubbing.pairs import read_pairs

    console.tune_process()
    jobs = read_pairs(options.table, options.output)
    journal = journal_of(options.output or options.table.parent, None, None, options.table, options.output)
    if options.on == "here":
        dub_here(jobs, options, journal, options.model, options.device, options.threads)
        return
    from lipsmith.cluster.run import ClusterBatch

    batch = ClusterBatch(options, options.model, options.device, options.threads, console.progress)
    for path in batch.run(jobs, journal):
        console.result(path)


def dub_here(
    jobs: Sequence[Job], options: DubOptions, journal: Path, model: str, device: str, threads: int | None
) -> None:
    """Dub on this machine, and print the path of each result once it is written."""
    from lipsmith.dubbing.batch import Batch
    from lipsmith.dubbing.job import with_precision
    from lipsmith.dubbing.pipeline import Dubber

    load = partial(Dubber.from_pretrained, model, device, threads)
    dubber = with_precision(load, [job.output for job in jobs], options)
    for path in Batch(dubber, options, console.progress).run(jobs, journal):
        console.result(path)
