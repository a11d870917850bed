"""Streaming speech features: mel, loudness, voice activity and speech tokens of sound that arrives in chunks.

A frame depends only on past sound and on `LOOK_AHEAD` seconds of future sound; see the table in docs/live.md.
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
from lipsmith.speech.recording import INAUDIBLE_DB, amplify, gain_for, loudness, speaking, voicing

LOOK_AHEAD: Final = 0.2
"""Seconds of sound after the time of a frame that the frame depends on."""
_HALF_FFT: Final = FFT // 2
_MARGIN_STEPS: Final = 3  # steps recomputed before new ones, because their spectra overlap
_MAX_MEL_STEPS: Final = round(8 * MEL_RATE)  # mel steps in memory
_MAX_LEVEL_STEPS: Final = round(20 * MEL_RATE)  # audible steps from which the loudness of the voice is measured
_MIN_LEVEL_STEPS: Final = round(0.5 * MEL_RATE)  # audible steps needed before the gain changes
_MAX_GAIN_STEP: Final = 0.02  # units of mel per step, 20 decibels per second
_SAMPLES_AFTER_MEL: Final = 80 * HOP  # one second that `truncate` may need again
_TIME_TOLERANCE: Final = 1e-4  # seconds within which two times share a token
_MAX_TOKENS: Final = 256  # tokens in the cache


class SpeechFeatures:
    """Features of a stream of mono sound at 16 kHz. Times are seconds since the start of the stream."""

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
        """Seconds for which the mel is complete."""
        return (self._mel_from + self._mel.shape[1]) / MEL_RATE

    def push(self, samples: Wave) -> None:
        """Append samples `(n,)` at 16 kHz."""
        self._wave = np.concatenate([self._wave, samples])
        self._compute_mel()
        self._trim()

    def truncate(self, end: float) -> None:
        """Discard the sound after `end` seconds; it will not be played."""
        samples = max(0, round(end * SAMPLE_RATE) - self._wave_from)
        kept = self._wave[:samples]
        self._wave = np.pad(kept, (0, samples - len(kept)))
        self._mel = self._mel[:, : max(0, self._complete_steps(samples) - self._mel_from)]
        self._tokens.clear()

    def tokens(self, times: NDArray[np.float64]) -> NDArray[np.float32]:
        """Speech tokens `(n, d)` of frames at `times` `(n,)`; tokens of complete windows are cached."""
        keys = [round(time / _TIME_TOLERANCE) for time in times]
        missing = [index for index, key in enumerate(keys) if key not in self._tokens]
        tokens = dict(self._tokens)
        if missing:
            computed = speech_tokens(self._backend, self.windows(times[missing]))
            tokens |= {keys[index]: token for index, token in zip(missing, computed, strict=True)}
            complete = [i for i in missing if times[i] * MEL_RATE + WINDOW - WINDOW_LEAD <= self.known * MEL_RATE]
            self._tokens |= {keys[index]: tokens[keys[index]] for index in complete}
            while len(self._tokens) > _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
        return np.stack([tokens[key] for key in keys])

    def windows(self, times: NDArray[np.float64]) -> NDArray[np.float32]:
        """Mel windows `(n, 80, 16)` of frames at `times` `(n,)`; missing steps repeat the last one."""
        known = self._mel if self._mel.shape[1] else np.full((MELS, 1), -MEL_LIMIT, np.float32)
        ahead = np.repeat(known[:, -1:], WINDOW, axis=1)
        return mel_windows(np.concatenate([known, ahead], axis=1), times - self._mel_from / MEL_RATE)

    def voice_activity(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fraction of speech in each frame, `(n,)` in [0, 1]."""
        if not self._mel.shape[1]:
            return np.zeros(len(times))
        last = self.known - 1 / MEL_RATE
        return speaking(voicing(self._mel), np.minimum(times, last) - self._mel_from / MEL_RATE)

    def _compute_mel(self) -> None:
        """Compute the mel steps whose samples are complete."""
        first, last = self._mel_from + self._mel.shape[1], self._complete_steps(len(self._wave))
        if last <= first:
            return
        start = max(first - _MARGIN_STEPS, self._wave_from // HOP)
        piece = mel_spectrogram(self._wave[start * HOP - self._wave_from :])
        self._mel = np.concatenate([self._mel, self._normalize(piece[:, first - start : last - start])], axis=1)

    def _complete_steps(self, samples: int) -> int:
        """Number of mel steps that are complete with the first `samples` in memory."""
        return max(0, (self._wave_from + samples - _HALF_FFT) // HOP + 1)

    def _normalize(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """New mel steps `(80, n)`, amplified if the voice is quieter than in the training data."""
        level = loudness(mel)
        self._levels = np.concatenate([self._levels, level[level > INAUDIBLE_DB]])[-_MAX_LEVEL_STEPS:]
        target = gain_for(self._levels) if len(self._levels) >= _MIN_LEVEL_STEPS else 0.0
        limit = _MAX_GAIN_STEP * mel.shape[1]
        self._gain += float(np.clip(target - self._gain, -limit, limit))
        return amplify(mel, self._gain)

    def _trim(self) -> None:
        excess = self._mel.shape[1] - _MAX_MEL_STEPS
        if excess > _MAX_MEL_STEPS // 4:
            self._mel, self._mel_from = self._mel[:, excess:], self._mel_from + excess
        unused = (self._mel_from + self._mel.shape[1]) * HOP - _SAMPLES_AFTER_MEL - self._wave_from
        if unused > _SAMPLES_AFTER_MEL:
            self._wave, self._wave_from = self._wave[unused:], self._wave_from + unused
