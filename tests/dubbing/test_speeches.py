"""A speech for each face: lips follow their own, other faces stay as filmed, the sound contains all speeches."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import lipsmith
from double import CONFIG, make_dubber
from dub_samples import two_faces, write_film, write_wav
from lipsmith import Clip, DubOptions, Turn, cli
from lipsmith.dubbing.job import key_of
from lipsmith.dubbing.options import options_for
from lipsmith.dubbing.turns import parse_speeches
from lipsmith.errors import InputError, UsageError
from lipsmith.face.landmarks import lip_opening
from lipsmith.media import open_sound, read_frames
from lipsmith.speech.recording import load_speech
from synthetic import make_film, speech

FRAMES = 12
LARGE, SMALL = slice(190, None), slice(None, 180)
"""Columns of the two faces, numbers 1 and 2."""
WORDS = speech(FRAMES / 25)
SILENCE = 0 * WORDS


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = [two_faces(time=number / 25) for number in range(FRAMES)]
    return write_film(tmp_path_factory.mktemp("film") / "panel.mp4", images)


@pytest.fixture(scope="module")
def clip(film: Path) -> Clip:
    return make_dubber().prepare(film)


pytestmark = pytest.mark.usefixtures("double")


def test_lips_follow_their_own_speech(clip: Clip) -> None:
    result = clip.dub({1: WORDS, 2: SILENCE})
    spread = {mouth.face.number: float(np.ptp(lip_opening(np.asarray(mouth.points)))) for mouth in result.mouths}
    alone = {mouth.face.number: mouth.points for mouth in clip.dub(WORDS).mouths}
    assert [mouth.face.number for mouth in result.mouths] == [1, 2]
    assert np.array_equal(result.mouths[0].points[:], alone[1][:])
    assert spread[2] < 0.2 * spread[1]
    windows = [mouth.heard(mouth.times[5:6]) for mouth in result.mouths]
    assert (windows[0] > windows[1]).any()
    assert (windows[1] == -4).all()


def test_lips_are_closed_before_and_after_their_turns(clip: Clip) -> None:
    first, second = clip.dub([Turn(1, WORDS, end=0.24), Turn(2, WORDS, 0.24, 0.48)]).mouths
    assert first.heard(first.times[2:3]).max() > -4
    assert (first.heard(first.times[10:11]) == -4).all()
    assert (second.heard(second.times[2:3]) == -4).all()
    assert second.heard(second.times[10:11]).max() > -4


def test_faces_without_a_speech_stay_as_filmed(clip: Clip, film: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        frames = list(clip.dub({2: WORDS}).frames())
    assert "the original lips stay on faces without a speech: 1" in caplog.text
    assert [face.number for face in clip.chosen] == [1]
    for frame, filmed in zip(frames, read_frames(film), strict=True):
        changed = (frame.image != filmed.image).any(-1)
        assert changed[:, SMALL].any()
        assert not changed[:, LARGE].any()


def test_the_sound_contains_all_speeches(clip: Clip, tmp_path: Path) -> None:
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(len(WORDS)) / 16_000).astype(np.float32)
    out = clip.dub({1: 0.5 * WORDS, 2: tone}).save(tmp_path / "out.mp4")
    found = np.concatenate(list(open_sound(out).blocks), axis=1)[0]
    expected = 0.5 * WORDS + tone
    assert len(found) == len(expected)
    assert np.corrcoef(found[1000:-1000], expected[1000:-1000])[0, 1] > 0.99


@pytest.mark.parametrize("said", [{3: WORDS}, [Turn(1, WORDS), Turn(3, WORDS)]])
def test_a_missing_face_is_refused(clip: Clip, said: dict[int, object]) -> None:
    with pytest.raises(
        UsageError, match=r"^There is no face number 3: 2 faces were found; list the faces for their numbers"
    ):
        clip.dub(said)  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [{}, {"1": WORDS}, [Turn(1, WORDS), WORDS]])
def test_invalid_turns_are_refused(clip: Clip, said: object) -> None:
    with pytest.raises(UsageError, match=r"No face has a speech|is not a turn of a face"):
        clip.dub(said)  # type: ignore[arg-type]


def voices(folder: Path) -> tuple[Path, Path]:
    return write_wav(folder / "anna.wav", WORDS), write_wav(folder / "ben.wav", WORDS[::-1])


def test_one_command_dubs_all_faces(tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anna, ben = voices(tmp_path)
    out = tmp_path / "out.mp4"
    line = ["dub", str(film), "--speech", f"2={anna}", "--speech", f"1={ben}", "-o", str(out)]
    assert cli.main(line) == 0
    assert capsys.readouterr().out.strip() == str(out)
    found = np.concatenate(list(open_sound(out).blocks), axis=1)[0]
    assert np.corrcoef(found, WORDS + WORDS[::-1])[0, 1] > 0.98
    assert len(list(read_frames(out))) == FRAMES


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["--speech", "anna.wav"], "--speech anna.wav names no face", 2),
        (["--speech", "1="], "names no file", 2),
        (["--speech", "left=anna.wav"], "--speech left=anna.wav: face 'left' is no number", 2),
        (["--speech", "1=anna.wav", "--speech", "1,2=ben.wav"], "Face 1 has two speeches, anna.wav and ben.wav", 2),
        (["--speech", "1=anna.wav", "anna.wav"], "--speech replaces SPEECH", 2),
        (["--speech", "1=anna.wav", "--face", "2"], "The option face is for one speech", 2),
        (["--speech", "1=none.wav"], "none.wav does not exist", 3),
        (["--speech", "7=anna.wav"], "There is no face number 7", 2),
        ([], "Give SPEECH, or --speech NUMBER=FILE for each face", 2),
    ],
)
def test_invalid_arguments_are_refused_in_one_sentence(
    tmp_path: Path,
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    voices(tmp_path)
    assert cli.main(["dub", str(film), *words, "-o", "out.mp4", "-q"]) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anna.wav", "ben.wav"]


def test_an_argument_may_name_several_faces() -> None:
    assert parse_speeches(["1,4=a=b.wav", "2=c.wav"]) == {1: Path("a=b.wav"), 4: Path("a=b.wav"), 2: Path("c.wav")}


def test_speeches_for_faces_are_refused_for_a_folder_of_films(
    tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anna, _ = voices(tmp_path)
    assert cli.main(["dub", str(film.parent), "--speech", f"1={anna}", "-o", str(tmp_path / "out"), "-q"]) == 2
    assert "--speech names the faces of one film" in capsys.readouterr().err


def test_the_resume_key_depends_on_every_speech_and_its_face(tmp_path: Path, film: Path) -> None:
    anna, ben = voices(tmp_path)

    def key(*turns: Turn) -> dict[str, object]:
        return key_of(film, turns, DubOptions(), CONFIG, "float")

    begun = key(Turn(1, anna), Turn(2, ben, 1.0))
    assert key(Turn(1, anna), Turn(2, ben, 1.0)) == begun
    assert key(Turn(2, anna), Turn(1, ben, 1.0)) != begun
    assert key(Turn(1, anna), Turn(2, ben, 1.5)) != begun
    assert key(Turn(1, anna), Turn(2, ben, 1.0, 2.0)) != begun
    assert key(Turn(1, anna)) != begun
    write_wav(ben, WORDS[:-1])
    assert key(Turn(1, anna), Turn(2, ben, 1.0)) != begun


def test_dubs_of_samples_are_not_resumed() -> None:
    assert not options_for([Turn(1, "anna.wav"), Turn(2, WORDS)], DubOptions()).resume
    assert options_for([Turn(1, "anna.wav")], DubOptions()).resume


def test_a_result_may_not_replace_any_speech(tmp_path: Path, film: Path) -> None:
    anna, ben = voices(tmp_path)
    taken = ben.rename(tmp_path / "ben.mp4")
    with pytest.raises(UsageError, match="would be replaced by its own result"):
        lipsmith.dub(film, {1: anna, 2: taken}, taken, DubOptions(overwrite=True))
    with pytest.raises(InputError, match="does not exist"):
        lipsmith.dub(film, {1: anna, 2: ben}, tmp_path / "out.mp4")


def test_a_result_may_not_replace_a_speech_that_was_read_before(clip: Clip, tmp_path: Path) -> None:
    words = make_film(tmp_path / "words.mp4", 0.4, 25, (64, 64), audio=speech(0.4))
    read = load_speech(words)
    for said in (read, {1: read}):
        with pytest.raises(UsageError, match="would be replaced by its own result"):
            clip.dub(said).save(words, overwrite=True)
