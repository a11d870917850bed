"""Turn the JSON of `lipsmith evaluate` or `lipsmith score` into one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.cli.results import read_figures
from lipsmith.errors import UsageError
from lipsmith.files import refuse_outputs, require, write_whole


@dataclass(frozen=True, kw_only=True)
class Options(console.OutputOptions):
    """The page is a single file without external links."""

    results: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="JSON")]
    """The JSON file written by --json."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report.html")
    """The page: a .html file."""


def run(options: Options) -> None:
    """Write the page and print its path."""
    from lipsmith.evaluation.report import write_report

    require(options.results)
    refuse_outputs([options.output], options.overwrite, inputs=[options.results])
    if options.output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{options.output}: the name of the page must end in .html or .htm.")
    found = read_figures(options.results)
    with write_whole(options.output, options.overwrite) as beside:
        write_report(beside, options.results, found.figures, found.settings, found.rows)
    console.result(options.output)
