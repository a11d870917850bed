"""What is said in a sound, as far as the extra `measure` is installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.evaluation.metrics.articulation import Utterance
from lipsmith.speech.activity import SpeechDetector
from lipsmith.speech.phonemes import Recognizer

T = TypeVar("T")


@dataclass(frozen=True)
class Listener:
    """Recognizes phonemes and finds silence; None where a package is missing, and `missing` says which."""

    phonemes: Recognizer | None = None
    speech: SpeechDetector | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """The reason by the figure that cannot be measured."""

    def __call__(self, wave: NDArray[np.float32]) -> Utterance:
        """What the samples `(n,)` at 16 kHz say."""
        return Utterance(
            wave,
            self.phonemes(wave) if self.phonemes else None,
            self.speech(wave) if self.speech else None,
        )


def load_listener() -> Listener:
    """All that is installed."""
    missing: dict[str, str] = {}

    def attempt(figure: str, load: Callable[[], T]) -> T | None:
        try:
            return load()
        except InputError as error:
            missing[figure] = str(error)
            return None

    phonemes = attempt("closure", Recognizer)
    return Listener(phonemes, attempt("theval.silent_stability, theval.lip_sync", SpeechDetector), missing)
