"""Detects speech with `silero-vad` (MIT, offline; extra `measure`)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import UsageError
from lipsmith.speech.mel import SAMPLE_RATE

Spans = list[tuple[float, float]]
"""Start and end of each stretch of speech, in seconds."""


class SpeechDetector:
    """Detects speech in recordings. Raises UsageError if `silero-vad` is not installed."""

    def __init__(self) -> None:
        try:
            import silero_vad
        except ImportError as error:
            raise UsageError(
                'silero-vad, which detects speech, is not installed: pip install ".[measure]" in the clone.'
            ) from error
        self._find: Any = silero_vad.get_speech_timestamps
        with warnings.catch_warnings():  # it loads its model in a way that torch advises against
            warnings.simplefilter("ignore", FutureWarning)
            self._model: Any = silero_vad.load_silero_vad()

    def __call__(self, wave: NDArray[np.float32]) -> Spans:
        """Stretches of speech in samples `(n,)` at 16 kHz in [-1, 1], with the detector's default settings."""
        found = self._find(wave, self._model, sampling_rate=SAMPLE_RATE)
        return [(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE) for span in found]
