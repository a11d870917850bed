"""What workers are asked to do, and how a long film is split among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lipsmith.dubbing.draw import PART
from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.parts import Share
from lipsmith.dubbing.pipeline import Result
from lipsmith.inference.backend import Precision

SHARE: Final = 15
"""Parts that are worth a task of their own: two and a half minutes at 25 frames a second."""
_MOST_AGAIN: Final = 2
"""Parts that may be drawn a second time where a share begins within a shot."""


@dataclass(frozen=True)
class Task:
    """A film to dub, or some parts of it to draw."""

    job: Job
    share: Share | None = None
    precision: Precision = "auto"
    """That of all workers; the options of the dub, or what was begun of it, may ask for another."""
    may_split: bool = True
    tries: int = 0
    """How often a worker was lost that worked on it."""


@dataclass(frozen=True)
class Ready:
    """How the loading of the model ended."""

    machine: str
    error: Exception | None = None
    precision: Precision = "auto"
    lines: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True)
class Report:
    """How a task ended."""

    error: Exception | None = None
    shares: Sequence[Task] = ()
    """Of a long film: to be done before the film is asked for again."""
    lines: Sequence[tuple[int, str]] = ()
    """Level and text of what was logged."""


@dataclass(eq=False)
class RemoteWorker:
    """A worker, seen from the command that gives it tasks."""

    actor: Any
    pending: Any
    """Stands for the report of what it does; None if it is idle."""
    task: Task | None = None
    """What it does; None while it loads the model."""
    video: Path | None = None
    """The footage it has prepared."""
    machine: str = ""
    """Its name; empty until the model is loaded."""


def shares_of(result: Result, out: Path) -> list[Share]:
    """Shares of a long result that several workers draw at the same time; one for a short one.

    A frame depends on the frames before, back to the last cut or to where the face came into view. So a share begins
    soon after a cut, and draws from there; a film that is one long shot is one share.
    """
    parts = -(-len(result) // PART)
    before = [depends_on(result.mouths, PART * number) for number in range(parts)]
    begins = [0]
    for number in range(1, parts):
        is_long = number - begins[-1] >= SHARE and 2 * (parts - number) >= SHARE
        if is_long and PART * number - before[number] <= PART * _MOST_AGAIN:
            begins.append(number)
    ends = [*begins[1:], parts]
    return [Share(out, range(begin, end), before[begin]) for begin, end in zip(begins, ends, strict=True)]


def depends_on(mouths: Sequence[MouthTrack], number: int) -> int:
    """The last frame up to output frame `number` at which no face goes on from the frame before, so that drawing may
    begin there."""
    while going_on := [mouth for mouth in mouths if mouth.continues(number)]:
        number = min(int(mouth.frames[mouth.begins[mouth.place(number)]]) for mouth in going_on)
    return number
