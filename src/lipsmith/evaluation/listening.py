"""Recognizes phonemes and speech in sounds and prepared clips, if the extra `measure` is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import read_manifest
from lipsmith.data.phonemes import clip_phonemes
from lipsmith.errors import InputError, UsageError, WeightsError
from lipsmith.evaluation.metrics.articulation import Utterance
from lipsmith.progress import Progress
from lipsmith.speech.activity import SpeechDetector
from lipsmith.speech.phonemes import PhonemeRecognizer, Phonemes

T = TypeVar("T")


@dataclass(frozen=True)
class Listener:
    """Recognizers of phonemes and speech; None if a package is missing, with the reason in `missing`."""

    phonemes: PhonemeRecognizer | None = None
    speech: SpeechDetector | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """Reason by name of the figure that cannot be measured."""

    def __call__(self, wave: NDArray[np.float32]) -> Utterance:
        """Phonemes and speech of samples `(n,)` at 16 kHz."""
        return Utterance(
            wave,
            self.phonemes(wave) if self.phonemes else None,
            self.speech(wave) if self.speech else None,
        )


def load_listener() -> Listener:
    """Load the installed recognizers."""
    missing: dict[str, str] = {}
    phonemes = attempt("closure", PhonemeRecognizer, missing)
    speech = attempt("theval.silent_stability, theval.lip_sync", SpeechDetector, missing)
    return Listener(phonemes, speech, missing)


def attempt(figure: str, load: Callable[[], T], missing: dict[str, str]) -> T | None:
    """What `load` returns; if a package, weights or a sound are missing, None, and `missing` gets the reason."""
    try:
        return load()
    except (InputError, UsageError, WeightsError) as error:
        missing[figure] = str(error)
        return None


def split_phonemes(
    data: Path, splits: Sequence[str], progress: Progress, missing: dict[str, str]
) -> Mapping[str, Phonemes]:
    """Phonemes by clip of some splits of prepared clips; empty if they cannot be recognized, see `attempt`."""
    return attempt("closure", lambda: clip_phonemes(data, read_manifest(data, *splits), progress), missing) or {}
