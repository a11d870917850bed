"""Reads tables of jobs: CSV with commas, semicolons or tabs, with or without a byte order mark."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from lipsmith.errors import InputError
from lipsmith.files import require

Row = tuple[int, dict[str, str]]
"""The line of the file at which a row starts, and its cells by column."""


def read_table(path: Path, columns: Sequence[str], may_be_empty: str = "") -> list[Row]:
    """The rows of a CSV file with exactly `columns`; empty rows are skipped.

    Raises `InputError` for an unreadable file, for other columns, and for rows with a cell that is empty (but for those
    of one column), has no column or spans lines.
    """
    require(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a CSV file with the columns {', '.join(columns)}.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(_lines(path, file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a CSV file ({error}); give UTF-8 text.") from error
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    _check_header(path, header, columns)
    filled = [column for column in columns if column != may_be_empty]
    return [(number, _row(path, number, cells, header, filled)) for number, cells in lines[1:]]


def _lines(path: Path, file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row with any text."""
    first = file.readline()
    file.seek(0)
    reader = csv.reader(file, delimiter=max(",;\t", key=first.count), skipinitialspace=True, strict=True)
    while True:
        begin = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            open_quote = "unexpected end of data" in str(error)
            reason = "a quote that starts there is not closed" if open_quote else str(error)
            raise InputError(f"{path}, line {begin}: {reason}; correct the table.") from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield begin, cells


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    known, found = ", ".join(columns), ", ".join(header)
    if not header:
        raise InputError(f"{path} is empty; give a table with the columns {known}.")
    if missing := [name for name in columns if name not in header]:
        raise InputError(f"{path} has no column {missing[0]}, only {found}; its first line names the columns {known}.")
    if unknown := [name for name in header if name and (name not in columns or header.count(name) > 1)]:
        raise InputError(f"{path} has a column {unknown[0]} that is unknown or named twice; the columns are {known}.")


def _row(path: Path, number: int, cells: list[str], header: Sequence[str], filled: Sequence[str]) -> dict[str, str]:
    cells = [cell.strip() for cell in cells]
    named = dict(zip(header, cells, strict=False))
    if any(cells[len(header) :]) or named.get(""):
        raise InputError(f"{path}, line {number}: a cell has no column; put quotes around names that contain commas.")
    if any("\0" in cell for cell in cells):
        raise InputError(f"{path}, line {number}: a cell contains a NUL character; save the table as UTF-8 text.")
    if any("\n" in cell or "\r" in cell for cell in cells):
        raise InputError(f"{path}, line {number}: a cell spans several lines; a quote may be missing.")
    if not all(named.get(column) for column in filled):
        every = f"{', '.join(filled[:-1])} and {filled[-1]}"
        raise InputError(f"{path}, line {number}: the columns {every} must all be filled.")
    return {column: named.get(column, "") for column in header if column}
