"""What the networks hear of sound that comes piece by piece: mel, loudness, voice activity and speech tokens.

Everything here is computed from the sound so far and `LOOK_AHEAD` seconds more; see docs/live.md for the table.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.inference.backend import Backend
from lipsmith.inference.speak import speech_tokens
from lipsmith.live.sound import Wave
from lipsmith.speech.mel import (
    FFT,
    HOP,
    MEL_LIMIT,
    MEL_RATE,
    MELS,
    SAMPLE_RATE,
    WINDOW,
    WINDOW_LEAD,
    mel_spectrogram,
    mel_windows,
)
from lipsmith.speech.recording import gain_for, louder, loudness, speaking, voicing

LOOK_AHEAD: Final = 0.2
"""Seconds of sound beyond a frame's time that are heard before the frame is drawn."""
_REACH: Final = FFT // 2
_MARGIN: Final = 3  # steps before a piece, whose spectra reach over its edge
_MEMORY: Final = round(8 * MEL_RATE)  # steps of mel that are kept
_LOUD_MEMORY: Final = round(20 * MEL_RATE)  # audible steps by which the loudness of the voice is judged
_AUDIBLE: Final = -75.0  # decibels
_ENOUGH: Final = round(0.5 * MEL_RATE)  # audible steps from which on their loudness is believed
_SLOW: Final = 0.02  # units of mel by which the gain may change in a step: 20 decibels a second
_CUT: Final = 80 * HOP  # samples, a second, that may be cut off again
_TICK: Final = 1e-4  # seconds within which two times ask for the same token
_KEPT: Final = 256  # tokens


class Hearing:
    """Mono sound at 16 kHz in, what a frame at any recent time hears out. Times are seconds of the session's sound."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._wave = np.zeros(0, np.float32)
        self._wave_from = 0
        self._mel = np.zeros((MELS, 0), np.float32)
        self._mel_from = 0
        self._levels = np.zeros(0)
        self._gain = 0.0
        self._tokens: dict[int, NDArray[np.float32]] = {}

    @property
    def known(self) -> float:
        """Seconds up to which mel is known."""
        return (self._mel_from + self._mel.shape[1]) / MEL_RATE

    def hear(self, samples: Wave) -> None:
        """The next samples `(n,)` at 16 kHz."""
        self._wave = np.concatenate([self._wave, samples])
        self._extend()
        self._forget()

    def cut(self, end: float) -> None:
        """What was heard beyond `end` seconds will not be played: it is as if it had not come."""
        samples = max(0, round(end * SAMPLE_RATE) - self._wave_from)
        kept = self._wave[:samples]
        self._wave = np.pad(kept, (0, samples - len(kept)))
        self._mel = self._mel[:, : max(0, self._steps_within(samples) - self._mel_from)]
        self._tokens.clear()

    def tokens(self, times: NDArray[np.float64]) -> NDArray[np.float32]:
        """Speech tokens `(n, d)` of frames at `times` `(n,)`; those of whole windows are computed once."""
        keys = [round(time / _TICK) for time in times]
        missing = [index for index, key in enumerate(keys) if key not in self._tokens]
        found = dict(self._tokens)
        if missing:
            computed = speech_tokens(self._backend, self.windows(times[missing]))
            found |= {keys[index]: token for index, token in zip(missing, computed, strict=True)}
            whole = [i for i in missing if times[i] * MEL_RATE + WINDOW - WINDOW_LEAD <= self.known * MEL_RATE]
            self._tokens |= {keys[index]: found[keys[index]] for index in whole}
            while len(self._tokens) > _KEPT:
                del self._tokens[next(iter(self._tokens))]
        return np.stack([found[key] for key in keys])

    def windows(self, times: NDArray[np.float64]) -> NDArray[np.float32]:
        """Mel windows `(n, 80, 16)` of frames at `times` `(n,)`; steps that are not known yet repeat the last one."""
        known = self._mel if self._mel.shape[1] else np.full((MELS, 1), -MEL_LIMIT, np.float32)
        ahead = np.repeat(known[:, -1:], WINDOW, axis=1)
        return mel_windows(np.concatenate([known, ahead], axis=1), times - self._mel_from / MEL_RATE)

    def voiced(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much of each frame is speech, `(n,)` in [0, 1]."""
        if not self._mel.shape[1]:
            return np.zeros(len(times))
        last = self.known - 1 / MEL_RATE
        return speaking(voicing(self._mel), np.minimum(times, last) - self._mel_from / MEL_RATE)

    def _extend(self) -> None:
        """Compute the mel steps whose samples have all come."""
        first, last = self._mel_from + self._mel.shape[1], self._steps_within(len(self._wave))
        if last <= first:
            return
        begin = max(first - _MARGIN, self._wave_from // HOP)
        piece = mel_spectrogram(self._wave[begin * HOP - self._wave_from :])
        self._mel = np.concatenate([self._mel, self._as_usual(piece[:, first - begin : last - begin])], axis=1)

    def _steps_within(self, samples: int) -> int:
        """Number of the first step that needs more than the first `samples` that are kept."""
        return max(0, (self._wave_from + samples - _REACH) // HOP + 1)

    def _as_usual(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """New steps `(80, n)`, a quiet voice as loud as the networks know speech."""
        level = loudness(mel)
        self._levels = np.concatenate([self._levels, level[level > _AUDIBLE]])[-_LOUD_MEMORY:]
        wanted = gain_for(self._levels) if len(self._levels) >= _ENOUGH else 0.0
        most = _SLOW * mel.shape[1]
        self._gain += float(np.clip(wanted - self._gain, -most, most))
        return louder(mel, self._gain)

    def _forget(self) -> None:
        surplus = self._mel.shape[1] - _MEMORY
        if surplus > _MEMORY // 4:
            self._mel, self._mel_from = self._mel[:, surplus:], self._mel_from + surplus
        old = (self._mel_from + self._mel.shape[1]) * HOP - _CUT - self._wave_from
        if old > _CUT:
            self._wave, self._wave_from = self._wave[old:], self._wave_from + old
