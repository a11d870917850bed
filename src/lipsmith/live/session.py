"""A live session: speech is pushed as it comes, frames and the sound that belongs to them are taken as they are due."""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from threading import Condition
from typing import Final, Protocol

import numpy as np

from lipsmith.dubbing.mouth import DrawnFrame, MouthTrack, draw_frame, paste_frame
from lipsmith.dubbing.options import DubOptions
from lipsmith.dubbing.paste.composite import Compositor
from lipsmith.dubbing.pipeline import Clip
from lipsmith.live.hearing import LOOK_AHEAD, Hearing
from lipsmith.live.mouth import LiveMouth
from lipsmith.live.sound import SoundLine, Wave, as_mono
from lipsmith.live.walk import Image, Walk, skipped
from lipsmith.media.sound import Resampler
from lipsmith.progress import prefetch
from lipsmith.speech.mel import SAMPLE_RATE

_LOG = logging.getLogger(__name__)

_DECODED: Final = 16
"""Frames of footage that are decoded ahead."""
_GLANCE: Final = 0.05  # seconds; how soon a closed session is noticed
_TOLD_EVERY: Final = 250  # frames


class Clock(Protocol):
    """The time by which frames are due."""

    def now(self) -> float:
        """Seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class WallClock:
    """The machine's own."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


@dataclass(frozen=True)
class LiveFrame:
    """A frame of the session and its sound."""

    image: Image
    """(H, W, 3) RGB."""
    sound: Wave
    """(n,) in [-1, 1] at the session's rate: all that is to be played since the last frame's sound."""
    number: int
    """Of the frame on the session's clock; numbers are skipped where the machine is too slow."""
    time: float
    """Seconds of the session at which image and sound begin."""


@dataclass(frozen=True)
class _Begun:
    """A frame whose faces are being drawn."""

    number: int
    sound: Wave
    begins: float
    mouths: list[MouthTrack]
    drawn: Future[DrawnFrame]


class Live:
    """A clip that says what is pushed, as it is pushed; while nobody speaks, the footage plays with lips at rest.

    `push`, `end`, `interrupt` and `close` may be called from any thread; one thread takes the `frames`. A context
    manager: leaving it closes the session.
    """

    def __init__(
        self,
        clip: Clip,
        rate: int = SAMPLE_RATE,
        *,
        strength: float = 1.0,
        paced: bool = True,
        most_behind: float = float("inf"),
        clock: Clock | None = None,
    ) -> None:
        """A session on `clip` whose sound has `rate` samples a second.

        `strength`: see `Clip.dub`. `paced`: frames come when they are due, whether anybody speaks or not, and too late
        ones are skipped; else they come as fast as they are drawn and end when all that was pushed is said.
        `most_behind`: seconds of sound that may wait before pauses are shortened, for microphones. `clock`: for tests.
        Raises `UsageError` for a rate or strength that cannot be.
        """
        DubOptions(strength=strength)
        as_mono(np.zeros(0, np.float32), rate)
        self.rate, self.frame_rate = rate, float(clip.source.footage.rate)
        self.skipped = 0
        """Frames that were due and not drawn, because the machine was too slow."""
        self._clip, self._strength, self._paced = clip, strength, paced
        self._clock = clock or WallClock()
        self._sound = SoundLine(rate, LOOK_AHEAD, most_behind)
        self._to_networks = None if rate == SAMPLE_RATE else Resampler(rate, SAMPLE_RATE)
        self._hearing = Hearing(clip.backend)
        self._played = 0
        self._ended = self._closed = False
        self._changed = Condition()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def waiting(self) -> float:
        """Seconds of sound that were pushed and are not played yet."""
        with self._changed:
            return self._sound.waiting / self.rate

    def push(self, samples: object, rate: int | None = None) -> None:
        """Speech that follows what was pushed before: `(n,)` or `(channels, n)` at `rate`, by default the session's.

        Any number of samples. Raises `UsageError` for another shape, type or rate, `InputError` for samples that are
        not numbers.
        """
        mono, rate = as_mono(samples, self.rate if rate is None else rate)
        with self._changed:
            self._ended = False
            self._sound.push(mono, rate)
            self._changed.notify_all()

    def flush(self) -> None:
        """The speech that was pushed is whole: what waits for more is drawn, and the lips close after it."""
        with self._changed:
            self._sound.end()
            self._ended = True
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Drop what was pushed and not played; the lips close within a fifth of a second."""
        with self._changed:
            stay = self._sound.clear()
            self._hearing.cut((self._played + stay) / self.rate)
            self._to_networks = None if self.rate == SAMPLE_RATE else Resampler(self.rate, SAMPLE_RATE)
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the session; `frames` stops after the frame it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def frames(self) -> Iterator[LiveFrame]:
        """The session's frames from now on, each with the sound that belongs to it."""
        with ExitStack() as opened:
            walk = opened.enter_context(Walk(self._clip))
            images = opened.enter_context(closing(prefetch(walk.images(), _DECODED)))
            pool = opened.enter_context(ThreadPoolExecutor(1, "lipsmith-live"))
            mouths = [
                LiveMouth(self._clip.backend, self._clip.config, face, walk, 1 / self.frame_rate)
                for face in self._clip.chosen
            ]
            yield from self._drawn(mouths, images, pool)

    def _drawn(self, mouths: list[LiveMouth], images: Iterator[Image], pool: ThreadPoolExecutor) -> Iterator[LiveFrame]:
        compositors: defaultdict[int, Compositor] = defaultdict(Compositor)
        begun: deque[_Begun] = deque()
        start, next_image, number = self._clock.now(), 0, 0
        while (due := self._wait(start, number)) is not None:
            self._tell(due - number, due)
            image = skipped(images, due - next_image)
            begun.append(self._begin(due, mouths, image, pool))
            number = next_image = due + 1
            # A frame is pasted while the next one is drawn.
            if len(begun) > 1:
                yield self._finish(begun.popleft(), compositors)
        while begun:
            yield self._finish(begun.popleft(), compositors)

    def _wait(self, start: float, number: int) -> int | None:
        """The frame that is due: `number`, or a later one where the machine is slow; None where the session is over."""
        with self._changed:
            if not self._paced:
                self._changed.wait_for(lambda: self._closed or self._ended or self._enough())
                return None if self._closed or (self._ended and not self._sound.waiting) else number
        while not self._closed:
            early = start + number / self.frame_rate - self._clock.now()
            if early <= 0:
                return number + int(-early * self.frame_rate)
            self._clock.sleep(min(early, _GLANCE))
        return None

    def _enough(self) -> bool:
        """Whether the sound that the next frame looks ahead to has been pushed."""
        return self._sound.waiting >= (LOOK_AHEAD + 1 / self.frame_rate) * self.rate

    def _begin(self, number: int, mouths: list[LiveMouth], image: Image, pool: ThreadPoolExecutor) -> _Begun:
        """Take the sound up to the end of frame `number`, and have its faces drawn."""
        end = round((number + 1) / self.frame_rate * self.rate)
        with self._changed:
            begins, count = self._played / self.rate, end - self._played
            new = self._sound.listen(count + round(LOOK_AHEAD * self.rate), count)
            self._hear(new)
            sound = self._sound.take(count)
            self._played = end
            tracks = [track for mouth in mouths if (track := mouth.track(number, self._hearing, self._strength))]
        drawn = pool.submit(draw_frame, self._clip.encoded, tracks, number, image)
        return _Begun(number, sound, begins, tracks, drawn)

    def _hear(self, new: Wave) -> None:
        if self._to_networks is None:
            self._hearing.hear(new)
            return
        for block in self._to_networks(new[None]):
            self._hearing.hear(block[0])

    def _finish(self, frame: _Begun, compositors: defaultdict[int, Compositor]) -> LiveFrame:
        image = paste_frame(compositors, frame.mouths, frame.drawn.result())
        return LiveFrame(np.asarray(image), frame.sound, frame.number, frame.begins)

    def _tell(self, skipped: int, number: int) -> None:
        if skipped:
            if self.skipped // _TOLD_EVERY != (self.skipped + skipped) // _TOLD_EVERY or not self.skipped:
                _LOG.warning("This machine is too slow for %g frames a second; some are skipped.", self.frame_rate)
            self.skipped += skipped
