"""What a dub can be told, typed once for API and command line, and which of a film's faces that means."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from lipsmith.dubbing.source import check_stretch
from lipsmith.errors import UsageError
from lipsmith.face.stretches import prominence
from lipsmith.inference.backend import Precision

if TYPE_CHECKING:
    from lipsmith.dubbing.scan import Face

_LOG = logging.getLogger(__name__)

Tail = Literal["cut", "keep"]

STRONGEST: Final = 2.0
LEAST_GAIN: Final = -100.0
MOST_GAIN: Final = 40.0
FACE_WORDS: Final = ("largest", "left", "right", "all")
# A face must be there for this share of the longest-seen face's frames to count as left- or rightmost.
_LASTING: Final = 0.25


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

    resume: bool = True
    """Go on with what an interrupted dub left beside the result, and keep what this one has done until it is whole."""

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


def choose(tracks: Sequence[Face], face: str) -> list[Face]:
    """The faces to dub: largest, left or right of each shot, all, or numbers as listed ("2" or "1,4").

    Raises `UsageError` for another word or a number that no face has.
    """
    if face == "all":
        return list(tracks)
    if face in FACE_WORDS:
        shots = {track.shot: [other for other in tracks if other.shot == track.shot] for track in tracks}
        return [_of_shot(together, face) for together in shots.values()]
    wanted = face_numbers(face)
    unknown = sorted(wanted - {track.number for track in tracks})
    if unknown:
        raise UsageError(f"There is no face number {unknown[0]}: {len(tracks)} were found; --list-faces shows them.")
    return [track for track in tracks if track.number in wanted]


def ignored_faces(tracks: Sequence[Face], chosen: Sequence[Face]) -> list[Face]:
    """Faces that are not `chosen` though nobody who is shares a frame with them, in shots where somebody is.

    Who leaves the picture and comes back elsewhere is another face; so is a stranger who comes first.
    """
    return [
        track
        for track in tracks
        if (beside := [other for other in chosen if other.shot == track.shot])
        and not any(other is track or np.isin(other.frames, track.frames).any() for other in beside)
    ]


def warn_ignored_faces(name: str, face: str, tracks: Sequence[Face], chosen: Sequence[Face]) -> None:
    """Log a warning where `face`, a word, leaves faces of the footage `name` undubbed that were likely meant."""
    if face in FACE_WORDS and (others := ignored_faces(tracks, chosen)):
        numbers = ", ".join(str(track.number) for track in others)
        _LOG.warning(
            "%s: the original lips stay where only face %s is seen; choose faces by number, or all.", name, numbers
        )


def _of_shot(tracks: list[Face], face: str) -> Face:
    if face == "largest":
        return max(tracks, key=lambda track: prominence(track.size, len(track.frames)))
    longest = max(len(track.frames) for track in tracks)
    lasting = [track for track in tracks if len(track.frames) >= _LASTING * longest]
    return sorted(lasting, key=lambda track: track.place[0])[0 if face == "left" else -1]
