"""Recognition of phonemes and voice, as far as the optional packages are installed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from landmark_clips import talking_clip, write_clips
from lipsmith.evaluation.listening import Listener, load_listener, split_phonemes


def test_without_the_extra_omitted_figures_and_the_remedy_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hama", "hama.asr", "silero_vad"):
        monkeypatch.setitem(sys.modules, name, None)
    listener = load_listener()
    assert list(listener.missing) == ["closure", "theval.silent_stability, theval.lip_sync"]
    assert all('pip install ".[measure]"' in reason for reason in listener.missing.values())
    said = listener(np.zeros(800, np.float32))
    assert (said.phonemes, said.spans) == (None, None)


def test_without_hama_no_closure_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hama", "hama.asr"):
        monkeypatch.setitem(sys.modules, name, None)
    clip = talking_clip(0, "a", "val")
    heard = tmp_path / "a.wav"
    heard.touch()
    write_clips(tmp_path, [replace(clip, record=replace(clip.record, source=str(heard)))])
    missing: dict[str, str] = {}
    assert split_phonemes(tmp_path, ["val"], lambda done, total: None, missing) == {}
    assert missing["closure"].startswith("hama, which recognizes phonemes, is not installed")


def test_phonemes_and_spans_come_from_the_waveform() -> None:
    wave = np.ones(16000, np.float32)
    listener = Listener(
        lambda heard: [("m", float(heard.sum()))],  # type: ignore[arg-type]
        lambda heard: [(0.0, len(heard) / 16000)],  # type: ignore[arg-type]
    )
    said = listener(wave)
    assert (said.phonemes, said.spans) == ([("m", 16000.0)], [(0.0, 1.0)])
    assert said.wave is wave
