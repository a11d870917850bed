"""A live session: callers push speech while it arrives, and receive frames with their sound when they are due."""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from numbers import Real
from threading import Condition
from typing import Final, Protocol

import numpy as np

from lipsmith.config import of_kind
from lipsmith.dubbing.draw import DrawnFrame, draw_frame, paste_frame
from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.dubbing.options import DubOptions
from lipsmith.dubbing.paste.composite import Compositor
from lipsmith.dubbing.pipeline import Clip
from lipsmith.errors import UsageError
from lipsmith.live.features import LOOK_AHEAD, SpeechFeatures
from lipsmith.live.footage import Image, LoopedFootage, Playback, frame_rate
from lipsmith.live.mouth import Leaders, LiveMouth
from lipsmith.live.sound import SoundQueue, Wave, as_mono
from lipsmith.media.sound import Resampler
from lipsmith.speech.mel import SAMPLE_RATE

_LOG = logging.getLogger(__name__)

_MOST_AT_ONCE: Final = 2
"""Frames that are rendered in parallel."""
_POLL_INTERVAL: Final = 0.05  # seconds between checks whether the session was closed
_MOST_LATE: Final = 0.12
"""Seconds by which a frame may be late before frames are skipped. A session catches up from a short delay."""
_WARN_EVERY: Final = 250  # skipped frames between warnings


class Clock(Protocol):
    """The clock of a session; tests simulate it."""

    def now(self) -> float:
        """Current time in seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class WallClock:
    """The clock of the machine."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A frame of a session and its sound."""

    image: Image
    """(H, W, 3) RGB; not reused."""
    sound: Wave
    """(n,) in [-1, 1] at the rate of the session; it continues the sound of the previous frame."""
    number: int
    """Number of the frame in the session. A machine that is too slow skips numbers."""
    time: float
    """Start of image and sound, in seconds since the start of the session."""


@dataclass(frozen=True)
class _PendingFrame:
    """A frame whose faces are being rendered."""

    number: int
    sound: Wave
    time: float
    mouths: list[MouthTrack]
    drawn: Future[DrawnFrame]
    said: int
    """Samples of the sound that were pushed; the others fill up the frame."""


class Live:
    """A live session on a clip. It dubs speech while it is pushed; without speech, the footage plays with closed lips.

    `push`, `flush`, `interrupt` and `close` are thread-safe; only one thread may iterate over `frames`. Leaving the
    context closes the session.
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
        """Open a session on `clip` with sound at `rate` Hz.

        `strength`: see `Clip.dub`. `paced`: yield frames when they are due, with or without speech, and skip those that
        are over 0.12 s late; otherwise yield them as fast as they are rendered, and end after the speech that was
        pushed before `flush`. `most_behind`: seconds of queued sound above which pauses are shortened, for
        microphones. `clock`: for tests.
        Raises `UsageError` for an invalid clip, rate, strength or `most_behind`.
        """
        of_kind(clip, Clip, "The clip is", "a Clip, as Dubber.prepare returns it")
        DubOptions(strength=strength)
        if not isinstance(most_behind, float | Real) or not most_behind >= 0:
            raise UsageError(f"most_behind = {most_behind!r} is out of range: choose seconds from 0.")
        _, rate = as_mono(np.zeros(0, np.float32), rate)
        self.rate = rate
        """Sample rate of the sound, in Hz."""
        self.frame_rate = frame_rate(clip)
        """Frames per second."""
        self.skipped = 0
        """Number of frames that were skipped because the machine was too slow."""
        self.error: Exception | None = None
        """What ended `frames`, for callers that do not iterate over them, as over WebRTC."""
        self._clip, self._strength, self._paced = clip, strength, paced
        self._clock = clock or WallClock()
        self._sound = SoundQueue(rate, LOOK_AHEAD, most_behind)
        self._resampler = Resampler(rate, SAMPLE_RATE)
        self._features = SpeechFeatures(clip.backend)
        self._played = self._rendering = 0
        self._ended = self._closed = self._begun = False
        self._changed = Condition()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def waiting(self) -> float:
        """Seconds of sound that was pushed and not yet yielded: after `flush`, zero at the end of the speech."""
        with self._changed:
            return (self._sound.waiting + self._rendering) / self.rate

    def push(self, samples: object, rate: int | None = None) -> None:
        """Append speech: any number of samples, `(n,)` or `(1 or 2, n)`, at `rate` Hz (default: that of the session).

        Samples are floats in [-1, 1], or signed integers up to their type's full scale. Raises `UsageError` for another
        shape, type, scale or rate, and `InputError` for NaN or infinite samples.
        """
        mono, rate = as_mono(samples, self.rate if rate is None else rate)
        if not len(mono):
            return
        with self._changed:
            self._ended = False
            self._sound.push(mono, rate)
            self._changed.notify_all()

    def flush(self) -> None:
        """End the current speech: render what still waits for more sound, then close the lips."""
        with self._changed:
            self._sound.end()
            self._ended = True
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Drop the queued sound; the lips close within 0.2 s."""
        with self._changed:
            kept = self._sound.clear()
            self._features.truncate((self._played + kept) / self.rate)
            self._resampler = Resampler(self.rate, SAMPLE_RATE)
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the session; `frames` stops after the current frame."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def frames(self) -> Generator[LiveFrame, None, None]:
        """Yield the frames of the session, each with its sound; closing the generator ends its threads.

        Raises `UsageError` where frames of the open session are or were yielded by another generator.
        """
        if self._begun and not self._closed:
            raise UsageError(
                "This session has yielded frames already; keep its first iterator, or open another session."
            )
        self._begun = True
        try:
            yield from self._frames()
        except Exception as error:
            self.error = error
            raise

    def _frames(self) -> Iterator[LiveFrame]:
        with ExitStack() as stack:
            footage = stack.enter_context(LoopedFootage(self._clip))
            images = stack.enter_context(closing(Playback(footage)))
            pool = stack.enter_context(ThreadPoolExecutor(_MOST_AT_ONCE, "lipsmith-live"))
            mouths = [
                LiveMouth(self._clip.backend, self._clip.config, face, footage, 1 / self.frame_rate)
                for face in self._clip.chosen
            ]
            yield from self._render(mouths, images, pool)

    def _render(self, mouths: list[LiveMouth], images: Playback, pool: ThreadPoolExecutor) -> Iterator[LiveFrame]:
        compositors: defaultdict[int, Compositor] = defaultdict(Compositor)
        leaders = Leaders()
        pending: deque[_PendingFrame] = deque()
        start, number = self._clock.now(), 0
        while (due := self._next_due(start, number)) is not None:
            self._count_skipped(due - number)
            pending.append(self._submit(due, mouths, images.image(due), pool))
            number = due + 1
            # A frame is pasted while the next one is rendered; a late session renders two at a time.
            while len(pending) > (_MOST_AT_ONCE if self._is_late(start, due) else 1):
                yield self._finish(pending.popleft(), compositors, leaders)
        while pending:
            yield self._finish(pending.popleft(), compositors, leaders)

    def _next_due(self, start: float, number: int) -> int | None:
        """Wait for the next frame: `number`, or a later one if the machine is slow. None if the session has ended."""
        with self._changed:
            if not self._paced:
                self._changed.wait_for(lambda: self._closed or self._ended or self._has_look_ahead())
                return None if self._closed or (self._ended and not self._sound.waiting) else number
        while not self._closed:
            remaining = start + number / self.frame_rate - self._clock.now()
            if remaining <= 0:
                return number + max(0, int((-remaining - _MOST_LATE) * self.frame_rate))
            self._clock.sleep(min(remaining, _POLL_INTERVAL))
        return None

    def _is_late(self, start: float, number: int) -> bool:
        """Whether frame `number` was due more than half a frame ago."""
        return self._paced and self._clock.now() > start + (number + 0.5) / self.frame_rate

    def _has_look_ahead(self) -> bool:
        """Whether enough sound is queued for the next frame and its look-ahead."""
        return self._sound.waiting >= (LOOK_AHEAD + 1 / self.frame_rate) * self.rate

    def _submit(self, number: int, mouths: list[LiveMouth], image: Image, pool: ThreadPoolExecutor) -> _PendingFrame:
        """Take the sound up to the end of frame `number`, and start rendering its faces."""
        end = round((number + 1) / self.frame_rate * self.rate)
        with self._changed:
            start, count = self._played / self.rate, end - self._played
            said = min(count, self._sound.waiting)
            new = self._sound.read_ahead(count + round(LOOK_AHEAD * self.rate), count)
            for block in self._resampler(new[None]):
                self._features.push(block[0])
            sound = self._sound.take(count)
            self._played = end
            self._rendering += said
            tracks = [track for mouth in mouths if (track := mouth.track(number, self._features, self._strength))]
        drawn = pool.submit(draw_frame, self._clip.encoded, tracks, number, image)
        return _PendingFrame(number, sound, start, tracks, drawn, said)

    def _finish(self, frame: _PendingFrame, compositors: defaultdict[int, Compositor], leaders: Leaders) -> LiveFrame:
        drawn = leaders.steadied(frame.drawn.result(), frame.mouths)
        image = paste_frame(compositors, frame.mouths, drawn)
        # Without a face it is the footage itself, which callers must not draw on.
        own = np.array(image) if image is drawn.filmed else np.asarray(image)
        with self._changed:
            self._rendering -= frame.said
        return LiveFrame(own, frame.sound, frame.number, frame.time)

    def _count_skipped(self, skipped: int) -> None:
        if skipped:
            if self.skipped // _WARN_EVERY != (self.skipped + skipped) // _WARN_EVERY or not self.skipped:
                _LOG.warning("This machine is too slow for %g frames per second; skipping some.", self.frame_rate)
            self.skipped += skipped
