"""Formats tables of figures: Markdown, LaTeX, and cells for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lipsmith.evaluation.metrics.regions import FACE, MOUTH
from lipsmith.evaluation.systems import REAL


@dataclass(frozen=True)
class Column:
    """One metric."""

    key: str
    title: str
    better: str
    """`up`, `down`, or `` if neither is better."""
    digits: int


COLUMNS: Final = (
    Column("psnr", "PSNR", "up", 2),
    Column("ssim", "SSIM", "up", 4),
    Column("lpips_alex", "LPIPS (Alex)", "down", 4),
    Column("lpips_vgg", "LPIPS (VGG)", "down", 4),
    Column("frechet", "Fréchet (VGG-16)", "down", 2),
    Column("lip_lmd", "LipLMD", "down", 3),
    Column("lse_d", "LSE-D", "down", 3),
    Column("lse_c", "LSE-C", "up", 3),
    Column("csim", "CSIM", "up", 3),
    Column("jitter", "jitter", "", 3),
    Column("opening_r", "opening r", "up", 2),
    Column("amplitude", "opening spread", "", 2),
    Column("closure", "closure", "", 2),
    Column("closure_open", "closed vowels", "", 2),
    Column("theval.silent_stability", "silent stability", "up", 2),
    Column("theval.lip_sync", "lip-sync", "up", 2),
    Column("theval.lip_dynamics", "lip dynamics", "up", 2),
    Column("sharpness", "sharpness", "", 2),
    Column("obedience.slope", "opening slope", "", 2),
    Column("obedience.rest", "opening rest", "", 2),
    Column("obedience.shut", "shut", "up", 2),
    Column("obedience.width_slope", "width slope", "", 2),
    Column("obedience.width_rest", "width rest", "", 2),
    *(
        Column(f"{part}.{figure}", f"{part}: {title}", better, digits)
        for part in (FACE, MOUTH)
        for figure, title, better, digits in (
            ("psnr", "PSNR", "up", 2),
            ("ssim", "SSIM", "up", 4),
            ("lpips_alex", "LPIPS (Alex)", "down", 4),
            ("sharpness", "sharpness", "", 2),
            ("flicker", "flicker", "", 2),
        )
    ),
)
_MARKS: Final = {"up": "↑", "down": "↓", "": ""}
_LATEX: Final = {"up": r" $\uparrow$", "down": r" $\downarrow$", "": ""}
_IN_LATEX: Final = str.maketrans(
    {mark: f"\\{mark}" for mark in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "é": r"\'e", "±": r"$\pm$"}
)

Totals = Mapping[str, Mapping[str, float]]
Intervals = Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the system."""

    title: str
    columns: tuple[Column, ...]
    systems: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    best: tuple[str | None, ...]
    """The best system of each column, excluding the real film."""

    @property
    def header(self) -> tuple[str, ...]:
        """Titles with an arrow in the better direction."""
        return ("", *(f"{column.title} {_MARKS[column.better]}".strip() for column in self.columns))

    @property
    def body(self) -> list[tuple[str, ...]]:
        """Name and cells of each system."""
        return self.rows(str, str)

    def rows(self, plain: Callable[[str], str], bold: Callable[[str], str]) -> list[tuple[str, ...]]:
        """Name and cells of each system, the best cell of each column written by `bold`, everything else by `plain`."""
        rows = []
        for system, cells in zip(self.systems, self.cells, strict=True):
            writers = (bold if system == best else plain for best in self.best)
            rows.append((plain(system), *(write(cell) for write, cell in zip(writers, cells, strict=True))))
        return rows

    def markdown(self) -> str:
        """A Markdown table with the best values in bold."""
        lines = [f"**{self.title}**", "", _piped(self.header), "|---" + "|---:" * len(self.columns) + "|"]
        lines += [_piped(row) for row in self.rows(str, "**{}**".format)]
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """A booktabs `tabular` with the best values in bold."""
        titles = " & ".join(_escaped(column.title) + _LATEX[column.better] for column in self.columns)
        lines = [f"% {self.title}", rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}", r"\toprule"]
        lines += [f"& {titles} \\\\", r"\midrule"]
        rows = self.rows(_escaped, lambda cell: rf"\textbf{{{_escaped(cell)}}}")
        lines += [" & ".join(row) + r" \\" for row in rows]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def make_table(title: str, totals: Totals, intervals: Intervals | None = None) -> Table:
    """Systems in the order of `totals`, and the metrics of any of them; with `intervals`, half widths as ±."""
    columns = tuple(
        column for column in COLUMNS if any(column.key in figures for name, figures in totals.items() if name != REAL)
    )
    cells = tuple(
        tuple(_cell(column, figures, (intervals or {}).get(name, {})) for column in columns)
        for name, figures in totals.items()
    )
    best = tuple(_best(column, totals) for column in columns)
    return Table(title, columns, tuple(totals), cells, best)


def _cell(column: Column, figures: Mapping[str, float], intervals: Mapping[str, Sequence[float]]) -> str:
    value = figures.get(column.key, np.nan)
    if np.isnan(value):
        return "n/a"
    text = f"{value:.{column.digits}f}"
    if column.key not in intervals or not np.isfinite(value):
        return text
    low, high = intervals[column.key]
    return f"{text} ±{(high - low) / 2:.{column.digits}f}"


def _best(column: Column, totals: Totals) -> str | None:
    known = {name: figures[column.key] for name, figures in totals.items() if name != REAL and column.key in figures}
    if not column.better or len(known) < 2:
        return None
    choose = max if column.better == "up" else min
    return choose(known, key=lambda name: known[name])


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.translate(_IN_LATEX)
