"""Several speeches on one clock: what each face says, and what is heard."""

from __future__ import annotations

import json
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dub_samples import write_wav
from lipsmith.errors import InputError, UsageError
from lipsmith.speech.conversation import Conversation, Turn, converse
from lipsmith.speech.mel import MEL_LIMIT, mel_spectrogram
from lipsmith.speech.recording import Speech, load_speech
from synthetic import speech

WAVE = speech(1.0)


def heard(conversation: Conversation) -> NDArray[np.float32]:
    return np.asarray(np.concatenate(list(conversation.sound().blocks), axis=1)[0], np.float32)


def test_a_single_turn_equals_its_speech() -> None:
    plain, said = load_speech(WAVE), converse([Turn(3, WAVE)])
    assert said.seconds == plain.seconds == 1
    assert list(said.voices) == [3]
    assert np.array_equal(said.voices[3].mel, plain.mel)
    assert np.array_equal(heard(said), WAVE)


def test_a_file_that_was_replaced_is_not_heard(tmp_path: Path) -> None:
    said = converse([Turn(1, write_wav(tmp_path / "words.wav", WAVE))])
    write_wav(tmp_path / "words.wav", speech(0.5))
    with pytest.raises(InputError, match=r"words\.wav has changed since it was read"):
        heard(said)


def test_a_speech_without_sound_is_an_input_error() -> None:
    with pytest.raises(InputError, match="has no samples"):
        converse([Turn(1, Speech(1.0, load_speech(WAVE).mel))])


def test_the_sound_is_that_of_the_conversation_and_not_of_a_voice() -> None:
    said = converse([Turn(1, WAVE)])
    with pytest.raises(InputError, match="has no samples"):
        said.voices[1].sound()


@pytest.mark.parametrize("start", [0.5, 0.50331])
def test_a_later_turn_shifts_sound_and_mel(start: float) -> None:
    said = converse([Turn(1, WAVE, start)])
    silence = np.zeros(round(start * 16_000), np.float32)
    late = np.concatenate([silence, WAVE])
    assert said.seconds == pytest.approx(1 + start, abs=1e-4)
    assert np.allclose(heard(said)[: len(late)], late, atol=1e-6)
    step = len(silence) // 200
    assert (said.voices[1].mel[:, :step] == -MEL_LIMIT).all()
    assert np.allclose(said.voices[1].mel[:, step + 4 :], mel_spectrogram(late)[:, step + 4 :], atol=1e-4)


def test_each_face_has_its_speech_and_the_sound_is_the_sum() -> None:
    said = converse([Turn(2, 0.5 * WAVE, 0.5), Turn(1, WAVE / 4, end=0.75)])
    assert said.seconds == 1.5
    first, second = said.voices[1], said.voices[2]
    assert first.mel.shape == second.mel.shape
    assert (first.mel[:, 66:] == -MEL_LIMIT).all()
    assert (second.mel[:, :38] == -MEL_LIMIT).all()
    expected = np.zeros(24_000)
    expected[:12_000] = WAVE[:12_000] / 4
    expected[11_920:12_000] *= np.arange(80, 0, -1) / 80  # a speech that is cut fades
    expected[8_000:] += 0.5 * WAVE
    assert np.allclose(heard(said), expected, atol=1e-6)


@pytest.mark.parametrize(("end", "cut"), [(1.0, False), (1.5, False), (0.99, True), (0.25, True), (None, False)])
def test_a_speech_that_loses_its_end_is_named(caplog: pytest.LogCaptureFixture, end: float | None, cut: bool) -> None:
    with caplog.at_level(logging.INFO):
        said = converse([Turn(1, WAVE, 0, end), Turn(2, WAVE)])
    assert ("Speeches longer than their turns, which are cut: 1 of 2 (samples)" in caplog.text) == cut
    assert said.voices[1].mel.shape == said.voices[2].mel.shape


def test_turns_of_one_face_follow_each_other() -> None:
    said = converse([Turn(1, WAVE, 1.0), Turn(1, WAVE)])
    assert said.seconds == 2
    assert np.allclose(heard(said), np.tile(WAVE, 2))
    assert np.allclose(said.voices[1].mel[:, 90:], load_speech(WAVE).mel[:, 10:], atol=1e-4)
    assert (said.voices[1].mel[:, :81] >= load_speech(WAVE).mel - 1e-4).all()


def test_one_speech_of_several_faces_sounds_once(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "words.wav", WAVE)
    for spoken in (path, WAVE):
        said = converse([Turn(1, spoken), Turn(4, spoken)])
        assert np.allclose(heard(said), WAVE, atol=1e-4)
        assert np.array_equal(said.voices[1].mel, said.voices[4].mel)


def test_turns_of_one_face_do_not_overlap() -> None:
    converse([Turn(1, WAVE, end=0.5), Turn(1, WAVE, 0.5), Turn(2, WAVE, 0.25)])
    converse([Turn(1, WAVE), Turn(1, WAVE, 0.995)])  # headers of files round what their speech lasts
    with pytest.raises(UsageError, match=r"At 0.9 s face 1 still speaks, until 1.00 s; give the earlier turn"):
        converse([Turn(1, WAVE, 0.9), Turn(1, WAVE)])
    rows = [Turn(1, WAVE, 0, 2, "who.csv, line 2"), Turn(1, WAVE, 1.5, None, "who.csv, line 4")]
    with pytest.raises(InputError, match=r"^who.csv, line 4: at 1.5 s face 1 still speaks, until 2.00 s \(line 2\);"):
        converse(rows)


@pytest.mark.parametrize(
    ("start", "end"), [(-1, None), (np.nan, None), (np.inf, None), (2, 2), (2, 1), (0, np.inf), ("1", None)]
)
def test_invalid_times_are_usage_errors(start: float, end: float | None) -> None:
    with pytest.raises(UsageError, match=r"^The (time|end)\W? "):
        Turn(1, WAVE, start, end)


def test_files_of_any_rate_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finer = write_wav(tmp_path / "finer.wav", np.repeat(WAVE, 3), rate=48_000, channels=2)
    quiet = write_wav(tmp_path / "quiet.wav", np.zeros(8_000, np.float32))
    said = converse([Turn(1, finer), Turn(2, quiet)])
    assert said.files == [finer, quiet]
    assert (said.sound().rate, said.sound().channels) == (48_000, 2)
    assert caplog.text.count("No speech was detected in") == 1
    assert "quiet.wav" in caplog.text
    with pytest.raises(InputError, match=r"none.wav has an empty sound track"):
        converse([Turn(1, write_wav(tmp_path / "none.wav", np.zeros(0, np.float32)))])


def test_numbers_of_any_kind_become_plain() -> None:
    """They are kept as JSON beside the parts of a dub."""
    turn = Turn(np.int64(2), WAVE, Fraction(1, 2), np.float32(1.5))  # type: ignore[arg-type]
    assert json.dumps([turn.face, turn.start, turn.end]) == "[2, 0.5, 1.5]"
