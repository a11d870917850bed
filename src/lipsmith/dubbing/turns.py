"""Reads who speaks: words such as 1=anna.wav, or a table, CSV with the columns start, end, face and speech."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lipsmith.dubbing.table import read_table
from lipsmith.errors import InputError, UsageError
from lipsmith.files import require
from lipsmith.names import as_stored

# Imported where it is used: `lipsmith dub --help` needs this module, but no sound libraries.
if TYPE_CHECKING:
    from lipsmith.speech.conversation import Turn

TABLE: Final = ".csv"
_COLUMNS: Final = ("start", "end", "face", "speech")
_SECONDS: Final = re.compile(r"\d+(\.\d*)?")


def face_numbers(face: str) -> set[int]:
    """The numbers in "2" or "1,4"; raises `UsageError` for anything else."""
    parts = face.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"Face {face!r} is unknown: use largest, left, right, all or numbers such as 2 or 1,4.")
    return {int(part) for part in parts}


def parse_speeches(words: Sequence[str]) -> dict[int, Path] | Path:
    """The speech of each face, of words such as `1=anna.wav`, or `1,4=anna.wav` for several faces; or one table.

    Raises `UsageError` for other words, and where a face has two speeches.
    """
    if len(words) == 1 and words[0].lower().endswith(TABLE) and not re.match(r"[\d, ]+=", words[0]):
        return Path(words[0])
    speeches: dict[int, Path] = {}
    for word in words:
        numbers, equals, file = word.partition("=")
        if not equals or not file:
            lacking = "file" if equals else "face"
            raise UsageError(f"--speech {word} names no {lacking}; give 1=anna.wav for face 1, or one {TABLE} table.")
        try:
            faces = sorted(face_numbers(numbers))
        except UsageError as error:
            raise UsageError(
                f"--speech {word}: face {numbers!r} is no number; --list-faces shows the numbers."
            ) from error
        for face in faces:
            if face in speeches:
                raise UsageError(f"Face {face} has two speeches, {speeches[face]} and {file}; give it one.")
            speeches[face] = Path(file)
    return speeches


def read_turns(table: Path) -> list[Turn]:
    """The turns of a table, in the order of their start; speech files are relative to the table's folder.

    A row may name several faces, such as "1,4". Raises `InputError`, with the line, for invalid times and faces, rows
    out of order and missing files, and for a table without rows.
    """
    rows = read_table(table, _COLUMNS, may_be_empty="end")
    if not rows:
        raise InputError(f"{table} has no rows; add a row with start, end, face and speech for each turn.")
    turns: list[Turn] = []
    for line, row in rows:
        found = _row(table, f"{table}, line {line}", row)
        if turns and found[0].start < turns[-1].start:
            starts = f"starts at {found[0].start:g} s, and the row before it at {turns[-1].start:g} s"
            raise found[0].fault(f"this row {starts}; sort the rows by start.")
        turns += found
    return turns


def _row(table: Path, origin: str, row: Mapping[str, str]) -> list[Turn]:
    start = _seconds(origin, "start", row["start"])
    end = _seconds(origin, "end", row["end"]) if row["end"] else None
    try:
        faces = sorted(face_numbers(row["face"]))
    except UsageError as error:
        raise InputError(f"{origin}: face {row['face']!r} is no number; list the faces for theirs.") from error
    file = as_stored(table.parent / row["speech"])
    try:
        require(file)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from error
    from lipsmith.speech.conversation import Turn

    return [Turn(face, file, start, end, origin) for face in faces]


def _seconds(origin: str, column: str, text: str) -> float:
    """The time in 12.5 or 12,5 (seconds), m:ss or h:mm:ss."""
    parts = text.replace(",", ".").split(":")
    are_numbers = all(part.isdecimal() for part in parts[:-1]) and _SECONDS.fullmatch(parts[-1])
    values = [float(part) for part in parts] if are_numbers else []
    if not 1 <= len(values) <= 3 or any(value >= 60 for value in values[1:]):
        raise InputError(f"{origin}: the {column} {text!r} is no time; write seconds such as 12.5, or h:mm:ss.")
    return sum(value * 60.0**place for place, value in enumerate(reversed(values)))
