"""The session's sound: chunks of speech as they come, on the clock of the frames, with silence where none is."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError, UsageError
from lipsmith.media.sound import Resampler

Wave = NDArray[np.float32]

LEAST_RATE: Final = 4000
"""Hz; a lower rate is a mistake."""
_FADE: Final = 0.005  # seconds over which interrupted speech fades out
_QUIET: Final = 1e-3
_PAUSE: Final = 0.2  # seconds that stay of a pause that is shortened


class SoundLine:
    """Mono samples at one rate: pushed, then listened to by the networks, then taken to be played.

    Speech that is pushed while none is under way begins `lead` seconds after the last sample that was taken.
    `most_behind`: seconds of sound that may wait; beyond it, pauses are shortened. A microphone whose clock is faster
    than ours would fall behind forever; a whole file that is pushed at once is no reason to hurry.
    """

    def __init__(self, rate: int, lead: float, most_behind: float = float("inf")) -> None:
        self.rate = rate
        self._lead, self._most = round(lead * rate), most_behind * rate
        self._chunks: deque[Wave] = deque()
        self._unheard = 0
        self._heard = np.zeros(0, np.float32)
        self._resampler: Resampler | None = None
        self._speaking = False

    @property
    def waiting(self) -> int:
        """Samples that were pushed and not yet taken, with the silence between them."""
        return self._unheard + len(self._heard)

    def push(self, samples: Wave, rate: int) -> None:
        """Add samples `(n,)` at `rate` Hz."""
        if not len(samples):
            return
        if not self._speaking or not self.waiting:
            self._add(np.zeros(max(0, self._lead - self.waiting), np.float32))
        self._speaking = True
        if rate == self.rate:
            self._add(samples)
            return
        if self._resampler is None or self._resampler.rate != rate:
            self._resampler = Resampler(rate, self.rate)
        for block in self._resampler(samples[None]):
            self._add(block[0])

    def end(self) -> None:
        """The speech is over: nothing follows it soon."""
        self._speaking = False
        if self._resampler is not None:
            held, self._resampler = self._resampler.end(), None
            for block in held:
                self._add(block[0])

    def listen(self, ahead: int, least: int) -> Wave:
        """What was not listened to yet of the next `ahead` samples; silence where the next `least` did not come."""
        self._shorten_pause()
        pieces = []
        missing = ahead - len(self._heard)
        while missing > 0 and self._chunks:
            first = self._chunks.popleft()
            if len(first) > missing:
                self._chunks.appendleft(first[missing:])
            pieces.append(first[:missing])
            self._unheard -= len(pieces[-1])
            missing -= len(pieces[-1])
        known = len(self._heard) + sum(map(len, pieces))
        pieces.append(np.zeros(max(0, least - known), np.float32))
        new = np.concatenate(pieces)
        self._heard = np.concatenate([self._heard, new])
        return new

    def take(self, count: int) -> Wave:
        """The next `count` samples, which were listened to."""
        taken, self._heard = self._heard[:count], self._heard[count:]
        return taken

    def clear(self) -> int:
        """Drop what waits, after a short fade; return how many samples stay."""
        self._chunks.clear()
        self._unheard, self._resampler, self._speaking = 0, None, False
        fading = self._heard[: round(_FADE * self.rate)]
        self._heard = fading * np.linspace(1, 0, len(fading), dtype=np.float32)
        return len(fading)

    def _add(self, samples: Wave) -> None:
        if len(samples):
            self._chunks.append(np.ascontiguousarray(samples, np.float32))
            self._unheard += len(samples)

    def _shorten_pause(self) -> None:
        """Where too much waits, leave out silence that comes next, but for the end of the pause."""
        behind = self.waiting - self._most
        if behind <= 0 or not self._chunks:
            return
        waiting = np.concatenate(self._chunks)
        loud = np.flatnonzero(np.abs(waiting) > _QUIET)
        quiet = int(loud[0]) if len(loud) else len(waiting)
        surplus = max(0, min(quiet - round(_PAUSE * self.rate), int(behind)))
        self._chunks = deque([waiting[surplus:]])
        self._unheard -= surplus


def as_mono(samples: object, rate: object) -> tuple[Wave, int]:
    """Samples `(n,)` or `(channels, n)`, floats in [-1, 1] or signed whole numbers, as mono floats, with their rate.

    Raises `UsageError` for another shape, type or rate and `InputError` for samples that are not numbers.
    """
    array = np.asarray(samples)
    if array.dtype.kind == "i":
        array = array / -float(np.iinfo(array.dtype).min)
    if array.dtype.kind != "f" or array.ndim not in (1, 2):
        raise UsageError(f"Speech of type {array.dtype} and shape {array.shape} is no sound; push floats (n,).")
    if isinstance(rate, bool) or not isinstance(rate, int) or rate < LEAST_RATE:
        raise UsageError(f"Speech at {rate} samples a second cannot be understood; give its true rate.")
    mono = array.mean(0) if array.ndim == 2 else array
    if not np.isfinite(mono).all():
        raise InputError("The speech holds samples that are not numbers.")
    return np.clip(mono, -1, 1).astype(np.float32), rate
