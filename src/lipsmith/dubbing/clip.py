"""Footage made ready: its faces are known, and any number of speeches can be put into them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.faces import FaceTrack
from lipsmith.dubbing.mouth import perform
from lipsmith.dubbing.result import People, Result
from lipsmith.dubbing.source import Source
from lipsmith.dubbing.timeline import play, usual_interval
from lipsmith.errors import UsageError
from lipsmith.inference.backend import Backend
from lipsmith.speech.mel import SAMPLE_RATE
from lipsmith.speech.recording import load_speech
from lipsmith.speech.voicing import speaking

_LOG = logging.getLogger(__name__)

Tail = Literal["cut", "keep"]


@dataclass(repr=False)
class Clip:
    """A stretch of footage with its faces. `tracks` are those that will speak, `faces` all that were found."""

    source: Source
    times: NDArray[np.float64]
    size: tuple[int, int]
    faces: list[FaceTrack]
    tracks: list[FaceTrack]
    backend: Backend
    people: People
    window: int
    references: int
    model: str

    def __repr__(self) -> str:
        name = self.source.footage.name
        return f"Clip({name!r}, {self.seconds:.2f} s, {len(self.faces)} faces, {len(self.tracks)} to dub)"

    @property
    def seconds(self) -> float:
        """How long the footage lasts, its last frame included."""
        return self._end - float(self.times[0])

    def dub(
        self,
        speech: Path | str | NDArray[np.floating[Any] | np.signedinteger[Any]],
        rate: int = SAMPLE_RATE,
        tail: Tail = "cut",
    ) -> Result:
        """The footage saying `speech`: a file with sound, or samples `(n,)` or `(channels, n)` at `rate` Hz.

        The result is as long as the speech. Longer speech: the footage plays forward and back. Shorter, with `tail`
        keep: the footage goes on to its end in silence, lips closed; with cut it ends with the speech.
        Raises `InputError` and `UsageError` for speech that cannot be said; see `load_speech`.
        """
        if tail not in get_args(Tail):
            raise UsageError(f"Tail {tail!r} is unknown: use {' or '.join(get_args(Tail))}.")
        words = load_speech(speech, rate)
        seconds = max(words.seconds, self.seconds) if tail == "keep" else words.seconds
        timeline = play(self.times, self._end, seconds)
        if not speaking(words.voicing, timeline.times).any():
            _LOG.warning("No speech is heard in %s; the lips stay closed.", words.file or "the recording")
        performances = [
            perform(self.backend, track, timeline, words, self.window, self.references) for track in self.tracks
        ]
        return Result(
            source=self.source,
            source_times=self.times,
            size=self.size,
            timeline=timeline,
            speech=words,
            performances=[performance for performance in performances if len(performance.frames)],
            backend=self.backend,
            people=self.people,
            model=self.model,
        )

    @property
    def _end(self) -> float:
        return float(self.times[-1]) + usual_interval(self.times, self.source.footage.rate)
