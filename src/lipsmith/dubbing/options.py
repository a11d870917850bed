"""What a dub can be told, typed once: the Python API takes these options and the command line is made from them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from lipsmith.errors import UsageError
from lipsmith.inference.precision import Precision

Tail = Literal["cut", "keep"]

STRONGEST: Final = 2.0
LEAST_GAIN: Final = -100.0
MOST_GAIN: Final = 40.0
FACE_WORDS: Final = ("largest", "left", "right", "all")


@dataclass(frozen=True, kw_only=True)
class DubOptions:
    """How a video is dubbed. Raises `UsageError` for values that cannot be carried out."""

    face: str = "largest"
    """largest, left or right of each shot, all, or numbers that --list-faces shows, such as 2 or 1,4."""

    start: float | None = None
    """Use the footage from this second on."""

    end: float | None = None
    """Use the footage up to this second."""

    tail: Tail = "cut"
    """When the speech is over, end the film (cut) or let the footage go on to its end with closed lips (keep)."""

    strength: float = 1.0
    """How far the lips move from rest: 1 as predicted, less for calmer lips, up to 2 for livelier ones."""

    background: Path | None = None
    """A file with music or effects, to be heard under the speech from the beginning of the film to its end."""

    gain: float = -12.0
    """Decibels by which the background is louder than in its file; below 0 it is softer."""

    side_by_side: bool = False
    """Put the source to the left of the result, for comparison."""

    label: bool = False
    """Write "synthetic" into a corner of the picture."""

    language: str | None = None
    """Language of the speech in three letters (ISO 639-2), such as eng, for players that name the sound."""

    precision: Precision = "auto"
    """Numbers the renderer computes with on a CPU: float, int8, or auto, int8 where that is faster (CPUs with VNNI)."""

    overwrite: bool = False
    """Replace results that exist."""

    def __post_init__(self) -> None:
        if self.face not in FACE_WORDS:
            face_numbers(self.face)
        check_stretch(self.start, self.end)
        if self.language is not None and not re.fullmatch("[a-z]{3}", self.language):
            raise UsageError(f"Language {self.language!r} is unknown: use three letters of ISO 639-2, such as eng.")
        if not LEAST_GAIN <= self.gain <= MOST_GAIN:
            raise UsageError(f"A gain of {self.gain:g} dB cannot be had: choose {LEAST_GAIN:g} to {MOST_GAIN:g}.")
        if self.tail not in get_args(Tail):
            raise UsageError(f"Tail {self.tail!r} is unknown: use {' or '.join(get_args(Tail))}.")
        if self.precision not in get_args(Precision):
            raise UsageError(f"Precision {self.precision!r} is unknown: use {', '.join(get_args(Precision))}.")
        if not 0 <= self.strength <= STRONGEST:
            raise UsageError(f"A strength of {self.strength:g} cannot be had: choose 0 to {STRONGEST:g}.")


def face_numbers(face: str) -> set[int]:
    """The numbers in "2" or "1,4"; raises `UsageError` for anything else."""
    parts = face.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"Face {face!r} is unknown: use largest, left, right, all or numbers such as 2 or 1,4.")
    return {int(part) for part in parts}


def check_stretch(start: float | None, end: float | None) -> None:
    """Raise `UsageError` for a start and end, in seconds, with nothing between them."""
    if start is not None and not 0 <= start < math.inf:
        raise UsageError(f"The start, {start:g} s, lies outside any footage; choose 0 or later.")
    if end is not None and not end > (start or 0):
        raise UsageError(f"The end, {end:g} s, is not after the start, {start or 0:g} s; choose a later end.")
