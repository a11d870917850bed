"""The speech of several faces on one timeline: a speech for each face, and their sum as the sound of the result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.config import path_of
from lipsmith.errors import InputError, LipsmithError, UsageError
from lipsmith.files import require, state_of
from lipsmith.media.overlay import TimedSound, overlay
from lipsmith.media.sound import Sound, to_rate
from lipsmith.speech.mel import HOP, MEL_LIMIT, MELS, SAMPLE_RATE, empty_sound, mixed
from lipsmith.speech.recording import (
    Speech,
    Spoken,
    load_speech,
    normalize_level,
    open_unchanged,
    streamed_mel,
    voicing,
)

_LOG = logging.getLogger(__name__)

_MAX_SECONDS: Final = 86_400.0  # seconds of a result; its speech is held in memory
_NAMED: Final = 5  # files in a log line
_TOLERANCE: Final = 0.01  # seconds by which a speech may exceed the duration in the header of its file


@dataclass(frozen=True, eq=False)
class Turn:
    """Face number `face` says `speech` from `start` to `end`.

    If several faces say the same speech at the same time, it sounds once. Raises `UsageError` for invalid times.
    """

    face: int
    """As in `Clip.faces`."""
    speech: Spoken | Speech
    """As in `Clip.dub`."""
    start: float = 0.0
    """In seconds of the result."""
    end: float | None = None
    """In seconds of the result; longer speech is cut there. None for the end of the speech."""
    origin: str = ""
    """File and line of the turn, for messages."""

    def __post_init__(self) -> None:
        for time in (self.start, 0 if self.end is None else self.end):
            if not isinstance(time, Real):
                raise self.fault(f"the time {time!r} is not a number; give seconds.")
            if not 0 <= time <= _MAX_SECONDS:
                raise self.fault(f"the time {time:g} s is outside of any result; choose 0 to {_MAX_SECONDS:g} s.")
        if self.end is not None and not self.start < self.end:
            raise self.fault(f"the end, {self.end:g} s, is not after the start, {self.start:g} s; choose a later end.")
        # Of NumPy, say: what is kept for a dub that continues is plain.
        plain = {"start": float(self.start), "end": None if self.end is None else float(self.end)}
        for name, value in (plain | {"face": int(self.face)} if isinstance(self.face, Integral) else plain).items():
            object.__setattr__(self, name, value)

    @property
    def file(self) -> Path | None:
        """The file of the speech; None for samples."""
        if isinstance(self.speech, Speech):
            return self.speech.file
        return path_of(self.speech, "The speech") if isinstance(self.speech, str | PathLike) else None

    def fault(self, sentence: str) -> LipsmithError:
        """An error about this turn: `InputError` for a line of a table, otherwise `UsageError`."""
        return (
            InputError(f"{self.origin}: {sentence}") if self.origin else UsageError(sentence[0].upper() + sentence[1:])
        )


@dataclass(frozen=True)
class Conversation:
    """The speech of several faces in a result of `seconds`."""

    seconds: float
    voices: Mapping[int, Speech]
    """The speech of each face, by its number; silent outside its turns."""
    turns: Sequence[Turn]
    parts: Sequence[TimedSound]
    """The sounds of the turns, without duplicates."""

    @property
    def files(self) -> list[Path]:
        """The files of the speeches."""
        return [turn.file for turn in self.turns if turn.file]

    def sound(self) -> Sound:
        """The sound for the result, from its start."""
        return overlay(self.parts, self.seconds)


@dataclass(frozen=True, eq=False)
class _LoadedTurn:
    """A turn with its mel and sound."""

    turn: Turn
    part: TimedSound
    first: int
    """Mel step of the result at which its mel starts."""
    mel: NDArray[np.float32]
    """(80, steps)"""


def converse(turns: Collection[Turn], rate: int = SAMPLE_RATE) -> Conversation:
    """Read the speeches of `turns`, at least one, in any order; `rate` applies to samples without a rate.

    Raises `InputError` for invalid speech, as `load_speech` does, and for overlapping turns of one face (`UsageError`
    if they are not from a table).
    """
    loaded = [_load(turn, rate) for turn in sorted(turns, key=lambda turn: turn.start)]
    _warn_of_cuts(loaded)
    seconds = max(one.part.end for one in loaded)
    voices = {}
    for face in sorted({turn.face for turn in turns}):
        own = [one for one in loaded if one.turn.face == face]
        _check_overlaps(own)
        voices[face] = _voice(own, seconds)
    once = {(str(one.turn.file or id(one.turn.speech)), one.turn.start, one.turn.end): one.part for one in loaded}
    return Conversation(seconds, voices, tuple(turns), tuple(once.values()))


def _warn_of_cuts(loaded: Sequence[_LoadedTurn]) -> None:
    """Log which speeches lose their end."""
    if cut := [str(one.turn.file or "samples") for one in loaded if one.part.is_cut]:
        names = ", ".join(cut[:_NAMED]) + (", ..." if len(cut) > _NAMED else "")
        _LOG.info("Speeches longer than their turns, which are cut: %d of %d (%s)", len(cut), len(loaded), names)


def _check_overlaps(loaded: Sequence[_LoadedTurn]) -> None:
    """Raise an error if a turn of a face starts before its previous turn has ended."""
    for earlier, later in pairwise(loaded):
        end = earlier.turn.end or earlier.part.end
        if end > later.turn.start + _TOLERANCE:
            where = f" ({earlier.turn.origin.rpartition(', ')[2]})" if earlier.turn.origin else ""
            raise later.turn.fault(
                f"at {later.turn.start:g} s face {later.turn.face} still speaks, until {end:.2f} s{where}; "
                "give the earlier turn an earlier end."
            )


def _voice(loaded: Sequence[_LoadedTurn], seconds: float) -> Speech:
    mel = np.full((MELS, 1 + round(seconds * SAMPLE_RATE) // HOP), -MEL_LIMIT, np.float32)
    for one in loaded:
        section = mel[:, one.first : one.first + one.mel.shape[1]]
        np.maximum(section, one.mel[:, : section.shape[1]], out=section)
    return Speech(seconds, mel)


def _load(turn: Turn, rate: int) -> _LoadedTurn:
    try:
        return _load_turn(turn, rate)
    except InputError as error:
        if not turn.origin:
            raise
        raise InputError(f"{turn.origin}: {error}") from error


def _load_turn(turn: Turn, rate: int) -> _LoadedTurn:
    opened = _opener(turn.speech, rate)
    sound = opened()
    length = np.inf if turn.end is None else round((turn.end - turn.start) * sound.rate)
    cut: list[int] = []
    spoken = to_rate(replace(sound, blocks=_first_samples(sound.blocks, length, cut.append)), SAMPLE_RATE)
    first, lead = divmod(round(turn.start * SAMPLE_RATE), HOP)
    samples, mel = streamed_mel(chain([np.zeros(lead, np.float32)], _require_samples(turn, mixed(spoken.blocks))))
    mel = normalize_level(mel)
    if not voicing(mel).any():
        _LOG.warning("No speech was detected in %s; the lips stay closed.", turn.file or "the recording")
    end = turn.start + (samples - lead) / SAMPLE_RATE
    part = TimedSound(opened, turn.start, end, sound.rate, sound.channels, sound.language, bool(cut))
    return _LoadedTurn(turn, part, first, mel)


def _first_samples(
    blocks: Iterator[NDArray[np.float32]], length: float, on_cut: Callable[[int], None]
) -> Iterator[NDArray[np.float32]]:
    """The first `length` samples of blocks `(channels, n)`; if there are more, calls `on_cut` with a number of them."""
    remaining = length
    for block in blocks:
        if block.shape[1] > remaining:
            on_cut(block.shape[1] - int(remaining))
            yield block[:, : int(remaining)]
            return
        yield block
        remaining -= block.shape[1]


def _require_samples(turn: Turn, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Yield the blocks. Raises `InputError` if all are empty."""
    count = 0
    for block in blocks:
        count += len(block)
        yield block
    if not count:
        raise empty_sound(turn.file or "The speech")


def _opener(speech: Spoken | Speech, rate: int) -> Callable[[], Sound]:
    if isinstance(speech, str | PathLike):
        file = path_of(speech, "The speech")
        require(file)
        return partial(open_unchanged, file, state_of(file))
    return (speech if isinstance(speech, Speech) else load_speech(speech, rate)).sound
