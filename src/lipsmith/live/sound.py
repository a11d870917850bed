"""The sound of a session: a queue of pushed speech, with silence where there is none."""

from __future__ import annotations

from collections import deque
from numbers import Real
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError, UsageError
from lipsmith.media.sound import FADE_SECONDS, HIGHEST_RATE, Resampler
from lipsmith.speech.recording import array_of, as_float

Wave = NDArray[np.float32]

MIN_RATE: Final = 4000
"""Lowest sample rate that is accepted, in Hz."""
_SILENCE_LEVEL: Final = 1e-3
_NOISE: Final = 0.03
"""Level up to which sound counts as the noise of a room, as a share of the loudest speech before it."""
_HALF_LIFE: Final = 20.0  # seconds after which the loudest speech counts half
_MIN_PAUSE: Final = 0.2  # seconds that a shortened pause keeps


class SoundQueue:
    """Mono samples at one rate: pushed, then read ahead for the networks, then taken for playback.

    If the queue is idle, pushed speech starts `lead` seconds after the last sample that was taken. `most_behind`:
    seconds of queued sound above which pauses are shortened. It limits the delay if the clock of a microphone runs
    faster than this machine's; the default suits a recording that is pushed at once.
    """

    def __init__(self, rate: int, lead: float, most_behind: float = float("inf")) -> None:
        self.rate = rate
        self._lead, self._max_waiting = round(lead * rate), most_behind * rate
        self._chunks: deque[Wave] = deque()
        self._unread = 0
        self._read = np.zeros(0, np.float32)
        self._resampler: Resampler | None = None
        self._speaking, self._loudest = False, 0.0

    @property
    def waiting(self) -> int:
        """Number of queued samples, with the silence between them."""
        return self._unread + len(self._read)

    def push(self, samples: Wave, rate: int) -> None:
        """Append samples `(n,)` at `rate` Hz; another rate than before ends what the last one has left."""
        if not len(samples):
            return
        if self._resampler is not None and self._resampler.rate != rate:
            self._flush()
        if not self._speaking or not self.waiting:
            self._add(np.zeros(max(0, self._lead - self.waiting), np.float32))
        self._speaking = True
        if rate == self.rate:
            self._add(samples)
            return
        if self._resampler is None:
            self._resampler = Resampler(rate, self.rate)
        for block in self._resampler(samples[None]):
            self._add(block[0])

    def end(self) -> None:
        """End the current speech: flush the resampler; the next push starts with the lead."""
        self._speaking = False
        self._flush()

    def read_ahead(self, ahead: int, minimum: int) -> Wave:
        """The unread part of the next `ahead` samples; silence fills up the next `minimum` samples."""
        self._shorten_pause()
        parts = []
        remaining = ahead - len(self._read)
        while remaining > 0 and self._chunks:
            first = self._chunks.popleft()
            if len(first) > remaining:
                self._chunks.appendleft(first[remaining:])
            parts.append(first[:remaining])
            self._unread -= len(parts[-1])
            remaining -= len(parts[-1])
        known = len(self._read) + sum(map(len, parts))
        parts.append(np.zeros(max(0, minimum - known), np.float32))
        new = np.concatenate(parts)
        self._read = np.concatenate([self._read, new])
        return new

    def take(self, count: int) -> Wave:
        """The next `count` samples, which were read ahead before."""
        taken, self._read = self._read[:count], self._read[count:]
        return taken

    def clear(self) -> int:
        """Drop the queue, except for a short fade-out; return the number of samples that remain."""
        self._chunks.clear()
        self._unread, self._resampler, self._speaking = 0, None, False
        faded = self._read[: round(FADE_SECONDS * self.rate)]
        self._read = faded * np.linspace(1, 0, len(faded), dtype=np.float32)
        return len(faded)

    def _flush(self) -> None:
        if self._resampler is not None:
            rest, self._resampler = self._resampler.end(), None
            for block in rest:
                self._add(block[0])

    def _add(self, samples: Wave) -> None:
        samples = np.ascontiguousarray(samples, np.float32)
        for start in range(0, len(samples), self.rate):
            chunk = samples[start : start + self.rate]
            earlier = self._loudest * 0.5 ** (len(chunk) / (_HALF_LIFE * self.rate))
            self._loudest = max(float(np.abs(chunk).max()), earlier)
            self._chunks.append(chunk)
        self._unread += len(samples)

    def _shorten_pause(self) -> None:
        """If too much is queued, remove silence at the front of the queue, but keep the end of the pause."""
        excess = self.waiting - self._max_waiting
        if excess <= 0:
            return
        removed = max(0, min(self._silent() - round(_MIN_PAUSE * self.rate), int(excess)))
        self._unread -= removed
        while removed > 0:
            first = self._chunks.popleft()
            if len(first) > removed:
                self._chunks.appendleft(first[removed:])
            removed -= len(first)

    def _silent(self) -> int:
        """Number of silent samples at the front of the queue; reads no further, because hours may be queued."""
        count, level = 0, max(_SILENCE_LEVEL, _NOISE * self._loudest)
        for chunk in self._chunks:
            audible = np.abs(chunk) > level
            if audible.any():
                return count + int(audible.argmax())
            count += len(chunk)
        return count


def as_mono(samples: object, rate: float) -> tuple[Wave, int]:
    """Convert samples `(n,)` or `(1 or 2, n)`, floats in [-1, 1] or signed integers, to mono floats; check the rate.

    Raises `UsageError` for another shape, type, scale or rate, and `InputError` for NaN or infinite samples.
    """
    array = as_float(array_of(samples, "floats or signed integers"))
    if array.ndim > 2 or (array.ndim == 2 and not 1 <= len(array) <= 2):
        raise UsageError(f"Speech has shape {array.shape} instead of (n,) or (1 or 2, n); transpose it or mix it down.")
    if not isinstance(rate, float | Real) or not MIN_RATE <= rate <= HIGHEST_RATE or rate != int(rate):
        whole = f"a whole number from {MIN_RATE} to {HIGHEST_RATE}"
        raise UsageError(f"A rate of {rate!r} samples per second is invalid; give the rate of the speech, {whole}.")
    if not np.isfinite(array).all():
        raise InputError("The speech contains NaN or infinite samples; push finite ones.")
    mono = array.mean(0) if array.ndim == 2 else array
    return np.clip(mono, -1, 1), int(rate)
