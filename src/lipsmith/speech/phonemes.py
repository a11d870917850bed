"""Recognizes phonemes and their times with `hama` (Apache-2.0, offline; extra `measure`)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import UsageError
from lipsmith.speech.mel import SAMPLE_RATE

BILABIAL: Final = frozenset(("p", "pʰ", "p͈", "b", "ɓ", "m"))
"""Phonemes at which the lips touch."""
LABIODENTAL: Final = frozenset(("f", "v", "ɱ", "ʋ"))
"""Phonemes at which the lower lip touches the upper teeth."""
OPEN: Final = frozenset(("a", "aɪ", "aʊ", "ja", "wa", "à", "ã", "ä", "å", "æ", "ɐ", "ɑ", "ɒ"))
"""Vowels at which the mouth is open."""
GROUPS: Final = (
    BILABIAL,
    LABIODENTAL,
    OPEN,
    frozenset(("t", "tʰ", "t͈", "d", "ɖ", "ʈ", "n", "ɲ", "ɾ")),
    frozenset(("θ", "ð")),
    frozenset(("s", "s͈", "z")),
    frozenset(("ʃ", "ʒ", "t͡ʃ", "d͡ʒ", "ɕ", "t͡ɕ", "t͡ɕʰ", "t͡ɕ͈", "ʂ")),
    frozenset(("k", "kʰ", "k͈", "g", "ɡ", "ŋ", "h", "x", "ɣ", "q", "ħ", "ʔ")),
    frozenset(("l", "ɫ")),
    frozenset(("ɹ", "r", "ɝ", "ɚ", "ɻ", "ʁ")),
    frozenset(("w", "wi", "wʌ", "we", "wa")),
    frozenset(("i", "ɪ", "y", "j", "ɨ")),
    frozenset(("e", "eɪ", "ɛ", "eə", "je")),
    frozenset(("ə", "ʌ", "ɜ", "ɐ")),
    frozenset(("o", "oʊ", "ɔ", "ɔɪ", "ɒ", "jo")),
    frozenset(("u", "ʊ", "ʉ", "ju")),
)
"""Groups of phonemes with the same lip shape."""
LATE: Final = 0.12
"""Seconds by which the recognizer reports a phoneme after the lips form it."""

_STEP_SECONDS: Final = 0.02
_MIN_SAMPLES: Final = SAMPLE_RATE // 2
_NO_PHONEMES: Final = ("<", " ", "%", ",")

Phonemes = list[tuple[str, float]]
"""Symbols of the International Phonetic Alphabet, and the seconds at which the lips form them."""


class PhonemeRecognizer:
    """Recognizes the phonemes of recordings. Raises UsageError if `hama` is not installed."""

    def __init__(self) -> None:
        try:
            from hama.asr import ASRModel
        except ImportError as error:
            raise UsageError(
                'hama, which recognizes phonemes, is not installed: pip install ".[measure]" in the clone.'
            ) from error
        self._model: Any = ASRModel()

    def __call__(self, wave: NDArray[np.float32]) -> Phonemes:
        """Phonemes of samples `(n,)` at 16 kHz in [-1, 1], times rising."""
        if len(wave) < _MIN_SAMPLES:
            wave = np.pad(wave, (0, _MIN_SAMPLES - len(wave)))
        found = self._model.transcribe_waveform(wave, SAMPLE_RATE).frame_token_ids
        begins = np.flatnonzero(np.diff(np.concatenate([[-1], np.asarray(found, np.int64)])))
        spikes = [
            (self._model.decoder_tokens[found[index]], round(float(index) * _STEP_SECONDS - LATE, 3))
            for index in begins
        ]
        return [(symbol, moment) for symbol, moment in spikes if not symbol.startswith(_NO_PHONEMES)]
