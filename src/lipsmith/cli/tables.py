"""Tables of figures, on a terminal or as plain text."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TextIO

from lipsmith.cli import printable, printable_lines

_LOG = logging.getLogger("lipsmith")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], stream: TextIO | None = None) -> None:
    """Print rows under column headings; NaN shows as n/a.

    If the table is the result, `stream` is where it always goes; any other table goes to stderr, and is omitted with
    -q.
    """
    if stream is None and not _LOG.isEnabledFor(logging.INFO):
        return
    from io import StringIO

    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False)
    titled = Group(Text(printable_lines(title), "table.title"), drawn)  # a table would fold its title to its own width
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], Real) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(printable(_cell(value)) for value in row))
    file = stream or sys.stderr
    if file.isatty():
        Console(file=file, highlight=False, markup=False).print(titled)
        return
    # Output that is not a terminal is for tools such as grep: plain text without line wrapping.
    text = StringIO()
    Console(file=text, width=10_000, highlight=False, markup=False).print(titled)
    print(*(line.rstrip() for line in text.getvalue().splitlines()), sep="\n", file=file)


def _cell(value: object) -> str:
    if not isinstance(value, Real) or isinstance(value, Integral):
        return str(value)
    number = float(value)
    if math.isnan(number):
        return "n/a"
    return f"{number:.4g}" if abs(number) < 10_000 else f"{number:.0f}"
