"""The options of a dub, shared by API and command line, and the selection of faces and of what they say."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

import numpy as np

from lipsmith.config import path_of
from lipsmith.dubbing.source import Fit, check_stretch
from lipsmith.dubbing.turns import TABLE, face_numbers, read_turns
from lipsmith.errors import UsageError
from lipsmith.inference.backend import Precision

# Sound libraries are imported where they are used: `lipsmith dub --help` needs this module, but not them.
if TYPE_CHECKING:
    from lipsmith.dubbing.scan import Face
    from lipsmith.speech.conversation import Conversation, Turn
    from lipsmith.speech.recording import Speech, Spoken

_LOG = logging.getLogger(__name__)

Tail = Literal["cut", "keep"]

STRONGEST: Final = 2.0
LEAST_GAIN: Final = -100.0
MOST_GAIN: Final = 40.0
FACE_WORDS: Final = ("largest", "left", "right", "all")
BEYOND: Final = 60.0
"""Seconds of footage after the last frame of a result in which references are looked for, too."""
# A face counts as left or right only if it is visible for this share of the longest visible face's frames.
_LASTING: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class DubOptions:
    """Options of a dub. Raises `UsageError` for invalid values."""

    face: str = "largest"
    """Face to dub: largest, left or right of each shot, all, or numbers from --list-faces such as 2 or 1,4."""

    start: float | None = None
    """Start of the footage to use, in seconds."""

    end: float | None = None
    """End of the footage to use, in seconds."""

    tail: Tail = "cut"
    """After the speech, end the film (cut), or continue the footage to its end with closed lips (keep)."""

    fit: Fit = "bounce"
    """When the speech is longer than the footage: play the footage forward and back (bounce), again (loop), more slowly
    (stretch), hold its last frame (hold), or end both with the footage (cut)."""

    strength: float = 1.0
    """Scale of the lip motion, from 0 to 2: 1 as predicted, lower for less motion, higher for more."""

    background: Path | None = None
    """A file with music or effects to mix under the speech, from the start of the film to its end."""

    gain: float = -12.0
    """Gain of the background in decibels; negative values make it softer."""

    side_by_side: bool = False
    """Put the source to the left of the result, for comparison."""

    label: bool = False
    """Write "synthetic" into a corner of the picture."""

    language: str | None = None
    """Language of the speech in three letters (ISO 639-2), such as eng, for the metadata of the sound."""

    precision: Precision = "auto"
    """Precision of the renderer on a CPU: float, int8, or auto (int8 if it is faster)."""

    resume: bool = True
    """Continue an interrupted dub, and keep finished parts until the result is complete; --no-resume does neither."""

    overwrite: bool = False
    """Replace existing results."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "face", str(self.face))  # a number may be one, as `Face.number` is
        self._take("language", (str, NoneType), "a text", str)
        for name in ("start", "end", "strength", "gain"):
            self._take(name, (Real, NoneType) if name in ("start", "end") else (Real,), "a number", float)
        self._take("background", (str, PathLike, NoneType), "a path", partial(path_of, name="The background"))
        if self.face not in FACE_WORDS:
            face_numbers(self.face)
        check_stretch(self.start, self.end)
        if self.language is not None and not re.fullmatch("[a-z]{3}", self.language):
            raise UsageError(f"Language {self.language!r} is unknown: use three letters of ISO 639-2, such as eng.")
        if not LEAST_GAIN <= self.gain <= MOST_GAIN:
            raise UsageError(f"A gain of {self.gain:g} dB is out of range: choose {LEAST_GAIN:g} to {MOST_GAIN:g}.")
        if self.background is None and self.gain != DubOptions.gain:
            raise UsageError(f"A gain of {self.gain:g} dB has no background to change; give a background, or no gain.")
        for name, words in (("tail", get_args(Tail)), ("fit", get_args(Fit)), ("precision", get_args(Precision))):
            if (word := getattr(self, name)) not in words:
                raise UsageError(f"{name.capitalize()} {word!r} is unknown: use {', '.join(words)}.")
        if not 0 <= self.strength <= STRONGEST:
            raise UsageError(f"A strength of {self.strength:g} is out of range: choose 0 to {STRONGEST:g}.")

    def _take(self, name: str, kinds: tuple[type, ...], described: str, plain: Callable[[Any], object]) -> None:
        value = getattr(self, name)
        if not isinstance(value, kinds):
            raise UsageError(f"{name} = {value!r} is not {described}; give one.")
        object.__setattr__(self, name, None if value is None else plain(value))


def end_of_scan(options: DubOptions, recording: Speech) -> float | None:
    """Where the search for faces may end, seconds of the footage, which may be much longer than what is said."""
    if options.tail == "keep" or options.face not in FACE_WORDS:  # numbers are those of all footage
        return options.end
    last = (options.start or 0.0) + recording.seconds + BEYOND
    return last if options.end is None else min(last, options.end)


def choose(faces: Sequence[Face], which: str) -> list[Face]:
    """The faces to dub: largest, left or right of each shot, all, or numbers as listed ("2" or "1,4").

    A person who is recognized when coming back within a shot is chosen again.
    Raises `UsageError` for an unknown word or face number.
    """
    if which == "all":
        return list(faces)
    if which in FACE_WORDS:
        shots = {face.shot: [other for other in faces if other.shot == face.shot] for face in faces}
        chosen = [(shot, _of_shot(together, which).number) for shot, together in shots.items()]
        return [face for face in faces if (face.shot, face.number) in chosen]
    wanted = face_numbers(which)
    known = {face.number for face in faces}
    if unknown := sorted(wanted - known):
        raise UsageError(f"There is no face number {unknown[0]}: {_found(known)}.")
    return [face for face in faces if face.number in wanted]


def _found(numbers: set[int]) -> str:
    found = "1 face was" if len(numbers) == 1 else f"{len(numbers)} faces were"
    return f"{found} found; list the faces for their numbers"


def ignored_faces(faces: Sequence[Face], chosen: Sequence[Face]) -> list[Face]:
    """Faces that are not `chosen` and share no frame with a chosen face, in shots with a chosen face.

    A face that leaves the frame and returns has a new number unless it is recognized; a different person has another.
    """
    return [
        face
        for face in faces
        if (beside := [other for other in chosen if other.shot == face.shot])
        and not any(other is face or np.isin(other.frames, face.frames).any() for other in beside)
    ]


def warn_ignored_faces(name: str, which: str, faces: Sequence[Face], chosen: Sequence[Face]) -> None:
    """Warn if `which`, a word, leaves faces of the footage `name` undubbed that the user probably meant."""
    if which in FACE_WORDS and (others := ignored_faces(faces, chosen)):
        numbers = ", ".join(map(str, sorted({face.number for face in others})))
        _LOG.warning(
            "%s: the original lips stay where only face %s is visible; choose faces by number, or all.", name, numbers
        )


def _of_shot(faces: list[Face], which: str) -> Face:
    """The largest face of a shot, or the one at the left or right among those that last."""
    if which == "largest":
        from lipsmith.face.stretches import prominence

        return max(faces, key=lambda face: prominence(face.size, len(face.frames)))
    longest = max(len(face.frames) for face in faces)
    lasting = [face for face in faces if len(face.frames) >= _LASTING * longest]
    return sorted(lasting, key=lambda face: face.place[0])[0 if which == "left" else -1]


Said: TypeAlias = "Spoken | Speech | Conversation | Mapping[int, Spoken | Speech] | Sequence[Turn]"
"""One speech; a speech for each face by its number, said from the start of the result on; or turns, or their table."""


def hear(speech: Said, rate: int = 16_000) -> Speech | Conversation:
    """Read what is said; samples without a rate have `rate`. Raises what `load_speech` and `converse` raise."""
    from lipsmith.speech.conversation import Conversation, converse
    from lipsmith.speech.recording import Speech, checked_rate, load_speech

    rate = checked_rate(rate)  # in any case: options in its place are not to be ignored
    if isinstance(speech, Speech | Conversation):
        return speech
    if isinstance(speech, str | PathLike):
        speech = said_in(speech)
    if isinstance(speech, Mapping) or has_turns(speech):
        return converse(turns_of(cast("Sequence[Turn]", speech)), rate)
    return load_speech(cast("Spoken", speech), rate)


def has_turns(speech: object) -> bool:
    """Whether `speech` is a list of turns, which is also how samples may be given."""
    from lipsmith.speech.conversation import Turn

    return isinstance(speech, list | tuple) and any(isinstance(said, Turn) for said in speech[:1])


def turns_of(speech: Mapping[int, Any] | Sequence[Turn]) -> list[Turn]:
    """The turns, at least one. Raises `UsageError` for anything else."""
    from lipsmith.speech.conversation import Turn

    if not isinstance(speech, Mapping | list | tuple):
        raise UsageError(f"Speech of type {type(speech).__name__} is neither a file nor turns of faces; give either.")
    turns = [Turn(face, said) for face, said in speech.items()] if isinstance(speech, Mapping) else list(speech)
    if not turns:
        raise UsageError("No face has a speech; name one for each face that speaks.")
    if wrong := [turn for turn in turns if not isinstance(turn, Turn) or not isinstance(turn.face, Integral)]:
        one = wrong[0]
        reason = f"Face {one.face!r}" if isinstance(one, Turn) else f"An item of type {type(one).__name__}"
        raise UsageError(f"{reason} is not a turn of a face; give faces by their numbers.")
    return turns


def said_in(speech: PathLike[str] | str | Mapping[int, Any] | Sequence[Turn]) -> Path | list[Turn]:
    """The file of one speech, or the turns of several, which a table may hold (see `read_turns`)."""
    if isinstance(speech, str | PathLike):
        file = path_of(speech, "The speech")
        return read_turns(file) if file.suffix.lower() == TABLE else file
    return turns_of(speech)


def options_for(said: Path | Sequence[Turn], options: DubOptions) -> DubOptions:
    """The options with which this is said: turns name the faces. Raises `UsageError` if `options` do so too.

    Turns that are samples are not resumed, because nobody would notice a change in them.
    """
    if isinstance(said, Path):
        return options
    if options.face not in (DubOptions.face, "all"):
        raise UsageError(
            "The option face is for one speech; several speeches name their faces themselves, so leave it out."
        )
    return replace(options, face="all", resume=options.resume and all(turn.file for turn in said))


def speakers_of(
    said: Speech | Conversation, faces: Sequence[Face], chosen: Sequence[Face], name: str
) -> list[tuple[Face, Speech]]:
    """Each face that speaks, with what it says: all `chosen` ones, or those of `faces` that a conversation names.

    Logs which faces of the footage `name` stay as filmed. Raises `UsageError`, or `InputError` with the table's line,
    for a number that no face has.
    """
    from lipsmith.speech.recording import Speech

    if isinstance(said, Speech):
        return [(face, said) for face in chosen]
    known = {face.number for face in faces}
    for turn in said.turns:
        if turn.face not in known:
            raise turn.fault(f"there is no face number {turn.face}: {_found(known)}.")
    if silent := sorted(known - said.voices.keys()):
        _LOG.info("%s: the original lips stay on faces without a speech: %s", name, ", ".join(map(str, silent)))
    return [(face, said.voices[face.number]) for face in faces if face.number in said.voices]
