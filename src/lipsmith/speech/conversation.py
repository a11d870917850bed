"""What several faces say and when, on one clock: a speech for each face, and the sum of all as the result's sound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError, LipsmithError, UsageError
from lipsmith.media.overlay import TimedSound, overlay
from lipsmith.media.sound import Sound, open_sound, resample
from lipsmith.speech.mel import HOP, MEL_LIMIT, MELS, SAMPLE_RATE, mixed
from lipsmith.speech.recording import Speech, Spoken, load_speech, raised, streamed_mel, voicing

_LOG = logging.getLogger(__name__)

_LONGEST: Final = 86_400.0  # seconds of a result; what is said in it stays in memory
_NAMED: Final = 5  # files in a log line
_ROUNDING: Final = 0.01  # seconds that a speech may exceed the length which its file declares


@dataclass(frozen=True, eq=False)
class Turn:
    """The face of that number says `speech`, from `start` to `end` seconds of the result.

    Longer speech is cut at `end`; None for the end of the speech. The same speech at the same time, for several faces,
    sounds once. Raises `UsageError` for times that cannot be.
    """

    face: int
    speech: Spoken | Speech
    start: float = 0.0
    end: float | None = None
    origin: str = ""
    """Where it was read, for messages: a file and a line."""

    def __post_init__(self) -> None:
        if not 0 <= self.start <= _LONGEST:
            raise self.fault(f"the start, {self.start:g} s, is outside of any result; choose 0 or later.")
        if self.end is not None and not self.start < self.end <= _LONGEST:
            raise self.fault(f"the end, {self.end:g} s, is not after the start, {self.start:g} s; choose a later end.")

    @property
    def file(self) -> Path | None:
        """The file of the speech; None for samples."""
        return Path(self.speech) if isinstance(self.speech, str | PathLike) else None

    def fault(self, sentence: str) -> LipsmithError:
        """The error for what is wrong with it: of a table's line, or of the request."""
        return (
            InputError(f"{self.origin}: {sentence}") if self.origin else UsageError(sentence[0].upper() + sentence[1:])
        )


@dataclass(frozen=True)
class Conversation:
    """What several faces say in `seconds`."""

    seconds: float
    voices: Mapping[int, Speech]
    """What each face says, by its number: silent outside of its turns."""
    turns: Sequence[Turn]
    parts: Sequence[TimedSound]
    """The sounds of the turns, each once."""

    @property
    def files(self) -> list[Path]:
        """The files that it is read from."""
        return [turn.file for turn in self.turns if turn.file]

    def sound(self) -> Sound:
        """The sound for the result, from its start."""
        return overlay(self.parts, self.seconds)


@dataclass(frozen=True, eq=False)
class _Heard:
    """A turn as it was read."""

    turn: Turn
    part: TimedSound
    first: int
    """Step of the result at which its mel begins."""
    mel: NDArray[np.float32]
    """(80, steps)"""
    is_cut: bool
    """Whether the speech goes on after the end of its turn."""


def converse(turns: Collection[Turn], rate: int = SAMPLE_RATE) -> Conversation:
    """Read the speeches of `turns`, at least one, in any order; samples without a rate have `rate`.

    Raises `InputError` for what `load_speech` refuses and, as `UsageError` where no table is at fault, for turns of one
    face that overlap.
    """
    heard = [_placed(turn, rate) for turn in sorted(turns, key=lambda turn: turn.start)]
    _warn_of_cuts(heard)
    seconds = max(one.part.end for one in heard)
    voices = {}
    for face in sorted({turn.face for turn in turns}):
        own = [one for one in heard if one.turn.face == face]
        _refuse_overlaps(own)
        voices[face] = _voice(own, seconds)
    once = {(str(one.turn.file or id(one.turn.speech)), one.turn.start, one.turn.end): one.part for one in heard}
    return Conversation(seconds, voices, tuple(turns), tuple(once.values()))


def _warn_of_cuts(heard: Sequence[_Heard]) -> None:
    """Log which speeches lose their end."""
    if cut := [str(one.turn.file or "samples") for one in heard if one.is_cut]:
        names = ", ".join(cut[:_NAMED]) + (", ..." if len(cut) > _NAMED else "")
        _LOG.info("%d of %d speeches are longer than their turns and are cut: %s", len(cut), len(heard), names)


def _refuse_overlaps(heard: Sequence[_Heard]) -> None:
    """Raise for a turn of a face that begins within the one before it."""
    for earlier, later in pairwise(heard):
        end = earlier.turn.end or earlier.part.end
        if end > later.turn.start + _ROUNDING:
            where = f" ({earlier.turn.origin.rpartition(', ')[2]})" if earlier.turn.origin else ""
            raise later.turn.fault(
                f"at {later.turn.start:g} s face {later.turn.face} still speaks, until {end:.2f} s{where}; "
                "give the earlier turn an earlier end."
            )


def _voice(heard: Sequence[_Heard], seconds: float) -> Speech:
    mel = np.full((MELS, 1 + round(seconds * SAMPLE_RATE) // HOP), -MEL_LIMIT, np.float32)
    for one in heard:
        room = mel[:, one.first : one.first + one.mel.shape[1]]
        np.maximum(room, one.mel[:, : room.shape[1]], out=room)
    return Speech(seconds, mel)


def _placed(turn: Turn, rate: int) -> _Heard:
    try:
        return _hear(turn, rate)
    except InputError as error:
        raise (InputError(f"{turn.origin}: {error}") if turn.origin else error) from error


def _hear(turn: Turn, rate: int) -> _Heard:
    opened = _opener(turn.speech, rate)
    sound = opened()
    length = np.inf if turn.end is None else round((turn.end - turn.start) * sound.rate)
    cut: list[int] = []
    blocks: Iterator[NDArray[np.float32]] = _first(sound.blocks, length, cut.append)
    if sound.rate != SAMPLE_RATE:
        blocks = resample(blocks, sound.rate, SAMPLE_RATE, sound.channels)
    first, lead = divmod(round(turn.start * SAMPLE_RATE), HOP)
    samples, mel = streamed_mel(chain([np.zeros(lead, np.float32)], _some(turn, mixed(blocks))))
    if not voicing(raised(mel)).any():
        _LOG.warning("No speech was detected in %s; the lips stay closed.", turn.file or "the recording")
    end = turn.start + (samples - lead) / SAMPLE_RATE
    part = TimedSound(opened, turn.start, end, sound.rate, sound.channels, sound.language)
    return _Heard(turn, part, first, raised(mel), bool(cut))


def _first(
    blocks: Iterator[NDArray[np.float32]], length: float, tell: Callable[[int], None]
) -> Iterator[NDArray[np.float32]]:
    """The first `length` samples of blocks `(channels, n)`; tells how many of the last block are left out."""
    missing = length
    for block in blocks:
        if block.shape[1] > missing:
            tell(block.shape[1] - int(missing))
            yield block[:, : int(missing)]
            return
        yield block
        missing -= block.shape[1]


def _some(turn: Turn, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The blocks, of which at least one is not empty."""
    count = 0
    for block in blocks:
        count += len(block)
        yield block
    if not count:
        raise InputError(f"{turn.file or 'The speech'} has an empty sound track; give a recording with speech.")


def _opener(speech: Spoken | Speech, rate: int) -> Callable[[], Sound]:
    if isinstance(speech, str | PathLike):
        return partial(open_sound, Path(speech), whole=True)
    recording = speech if isinstance(speech, Speech) else load_speech(speech, rate)
    return partial(_required, recording)


def _required(recording: Speech) -> Sound:
    sound = recording.sound()
    if sound is None:
        raise InputError("The speech has no samples; give a recording with speech.")
    return sound
