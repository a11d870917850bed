"""Speech and silence by silero-vad, which a stand-in replaces: it is an extra."""

from __future__ import annotations

import sys
import warnings
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.errors import UsageError
from lipsmith.speech.activity import SpeechDetector


def test_spans_are_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(wave: NDArray[np.float32], model: str, sampling_rate: int) -> list[dict[str, int]]:
        assert (wave.shape, model, sampling_rate) == ((16000,), "model", 16000)
        return [{"start": 1600, "end": 4000}, {"start": 8000, "end": 16000}]

    module = ModuleType("silero_vad")
    module.get_speech_timestamps, module.load_silero_vad = find, lambda: "model"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "silero_vad", module)
    assert SpeechDetector()(np.zeros(16000, np.float32)) == [(0.1, 0.25), (0.5, 1.0)]


def test_users_see_no_advice_to_authors_of_silero(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    module = ModuleType("silero_vad")
    module.get_speech_timestamps = None  # type: ignore[attr-defined]
    module.load_silero_vad = lambda: warnings.warn("load is deprecated", FutureWarning, stacklevel=2)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "silero_vad", module)
    SpeechDetector()
    assert not recwarn.list


def test_a_missing_silero_is_reported_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(UsageError, match=r'pip install "\.\[measure\]" in the clone'):
        SpeechDetector()
