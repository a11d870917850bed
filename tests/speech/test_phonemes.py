"""The phoneme recognizer, and what is kept of it beside prepared clips."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from landmark_clips import talking_clip, write_clips
from lipsmith.data import phonemes
from lipsmith.data.clips import read_manifest
from lipsmith.data.phonemes import PHONEMES, clip_phonemes
from lipsmith.errors import InputError, UsageError
from lipsmith.speech.phonemes import BILABIAL, GROUPS, LABIODENTAL, PhonemeRecognizer


class Heard:
    """Stands in for hama's model: blank, m, blank, a word boundary, f, f."""

    decoder_tokens = ("m", "f", "<wb>", "<blank>")

    def transcribe_waveform(self, wave: NDArray[np.float32], rate: int) -> SimpleNamespace:
        assert len(wave) >= 8000
        return SimpleNamespace(frame_token_ids=[3] * 10 + [0, 3, 2, 1, 1])


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("hama.asr")
    module.ASRModel = Heard  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hama", ModuleType("hama"))
    monkeypatch.setitem(sys.modules, "hama.asr", module)


def test_phoneme_times_are_those_of_the_lips(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    # Spikes at steps 10 and 13 of 0.02 s, reported 0.12 s late; a repeated token is one phoneme.
    assert PhonemeRecognizer()(np.zeros(100, np.float32)) == [("m", 0.08), ("f", 0.14)]


def test_a_missing_hama_is_reported_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hama", None)
    monkeypatch.setitem(sys.modules, "hama.asr", None)
    with pytest.raises(UsageError, match=r'pip install "\.\[measure\]" in the clone'):
        PhonemeRecognizer()


def test_bilabial_and_labiodental_are_separate_groups() -> None:
    assert [sum("m" in group for group in GROUPS), sum("v" in group for group in GROUPS)] == [1, 1]
    assert GROUPS[:2] == (BILABIAL, LABIODENTAL)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clips = [talking_clip(seed, "a", "val") for seed in range(3)]
    sources = [tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "gone.mp4"]
    for path in sources[:2]:
        path.touch()
    moved = [
        dataclasses.replace(clip, record=dataclasses.replace(clip.record, source=str(path)))
        for clip, path in zip(clips, sources, strict=True)
    ]
    write_clips(tmp_path, moved)
    monkeypatch.setattr(phonemes, "read_audio", lambda path: np.zeros(8000, np.float32))
    return tmp_path


def test_phonemes_are_recognized_once_and_follow_the_offset(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    records = read_manifest(data)
    first = clip_phonemes(data, records)
    assert first == {record.clip: [("m", 0.08), ("f", 0.14)] for record in records[:2]}
    monkeypatch.setattr(phonemes, "PhonemeRecognizer", None)
    moved = [dataclasses.replace(record, offset=0.04) for record in records]
    again = clip_phonemes(data, [moved[0], moved[1]])
    assert again[records[0].clip] == [("m", pytest.approx(0.04)), ("f", pytest.approx(0.1))]


def test_phonemes_count_from_where_the_clip_starts(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    first, second, _ = read_manifest(data)
    further = dataclasses.replace(second, clip=f"{second.clip}+2")
    records = [dataclasses.replace(first, start=0.05), dataclasses.replace(further, start=0.06), further]
    assert clip_phonemes(data, records[:2]) == {
        first.clip: [("m", pytest.approx(0.03)), ("f", pytest.approx(0.09))],
        further.clip: [("m", pytest.approx(0.02)), ("f", pytest.approx(0.08))],
    }
    (data / PHONEMES).unlink()
    assert clip_phonemes(data, records[2:]) == {}


def test_a_source_of_several_clips_is_recognized_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    first, second, _ = read_manifest(data)
    read: list[str] = []
    monkeypatch.setattr(phonemes, "read_audio", lambda path: read.append(path) or np.zeros(8000, np.float32))
    further = dataclasses.replace(first, clip=f"{first.clip}+2", start=0.06)
    assert len(clip_phonemes(data, [first, second, further])) == 3
    assert read == [first.source, second.source]


def test_a_clip_that_is_prepared_anew_is_recognized_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another film of the same name, whose words the list would not tell."""
    install(monkeypatch)
    records = read_manifest(data)[:1]
    clip_phonemes(data, records)
    lines = (data / PHONEMES).read_text().replace('"m"', '"b"')
    (data / PHONEMES).write_text(lines)
    assert clip_phonemes(data, records)[records[0].clip][0] == ("b", 0.08)
    with (data / f"{records[0].clip}.npz").open("ab") as file:
        file.write(b"another")
    assert clip_phonemes(data, records)[records[0].clip][0] == ("m", 0.08)
    earlier = {"clip": records[0].clip, "phonemes": [["b", 0.08]]}
    (data / PHONEMES).write_text(json.dumps(earlier) + "\n")
    assert clip_phonemes(data, records)[records[0].clip][0] == ("b", 0.08)


def test_an_incomplete_line_is_recognized_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    records = read_manifest(data)[:1]
    (data / PHONEMES).write_text('{"clip": "val/a/a_0')
    assert clip_phonemes(data, records) == {records[0].clip: [("m", 0.08), ("f", 0.14)]}
    assert clip_phonemes(data, records) == {records[0].clip: [("m", 0.08), ("f", 0.14)]}
    (data / PHONEMES).write_text(json.dumps({"clip": "x"}) + "\n")
    with pytest.raises(InputError, match="delete it"):
        clip_phonemes(data, records)
