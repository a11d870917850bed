"""Tables of turns: spreadsheet formats are read, and invalid rows are refused with their line."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from double import Double, make_dubber
from dub_samples import two_faces, write_film, write_wav
from lipsmith import cli
from lipsmith.dubbing.turns import read_turns
from lipsmith.errors import InputError
from lipsmith.media import open_sound
from lipsmith.speech.conversation import Conversation, converse
from synthetic import speech

HEADER = "start,end,face,speech\n"


@pytest.fixture(autouse=True)
def _voices(tmp_path: Path) -> None:
    write_wav(tmp_path / "anna.wav", speech(0.4))
    write_wav(tmp_path / "ben.wav", speech(0.4)[::-1])


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "who.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("start,end,face,speech\n0,1.5,1,anna.wav\n1.5,,2,ben.wav\n", "utf-8"),
        ("Start;End;Face;Speech\r\n0,0;1,5;1;anna.wav\r\n1,5;;2;ben.wav\r\n;;;\r\n", "utf-8-sig"),
        ("start\tend\tface\tspeech\n0:00:00\t0:00:01.5\t1\tanna.wav\n0:01,5\t\t2\tben.wav\n", "utf-8"),
        ('face,speech,start,end\n1,anna.wav,"0","0:00:01,5"\n2,ben.wav,00:00:01.500\n', "utf-8"),
    ],
)
def test_spreadsheet_formats_are_read(tmp_path: Path, text: str, encoding: str) -> None:
    found = read_turns(table(tmp_path, text, encoding))
    assert [(turn.face, turn.file, turn.start, turn.end) for turn in found] == [
        (1, tmp_path / "anna.wav", 0, 1.5),
        (2, tmp_path / "ben.wav", 1.5, None),
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("90:00", 5400), ("1:00:00", 3600), ("01:02:03,25", 3723.25), ("12.", 12)],
)
def test_times_are_read_in_all_formats(tmp_path: Path, text: str, seconds: float) -> None:
    assert read_turns(table(tmp_path, f'{HEADER}"{text}",,1,anna.wav\n'))[0].start == seconds


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("", "who.csv has no rows"),
        ("0,1,1,anna.wav\n12:01:30 AM,,2,ben.wav\n", "line 3: the start '12:01:30 AM' is no time; write seconds"),
        ("0:75,1,1,anna.wav\n", "line 2: the start '0:75' is no time"),
        ("1:60:00,,1,anna.wav\n", "line 2: the start '1:60:00' is no time"),
        ("-1,1,1,anna.wav\n", "line 2: the start '-1' is no time"),
        ("0,0:0:0:5,1,anna.wav\n", "line 2: the end '0:0:0:5' is no time"),
        ("2,1,1,anna.wav\n", "line 2: the end, 1 s, is not after the start, 2 s"),
        ("999999999,,1,anna.wav\n", "line 2: the time 1e+09 s is outside of any result; choose 0 to 86400"),
        ("0,99999,1,anna.wav\n", "line 2: the time 99999 s is outside of any result; choose 0 to 86400"),
        ("0,1,Anna,anna.wav\n", "line 2: face 'Anna' is no number; list the faces for theirs"),
        ("0,1,,anna.wav\n", "line 2: the columns start, face and speech must all be filled"),
        ("0,1,1,none.wav\n", "line 2: {folder}/none.wav does not exist"),
        ("5,6,1,anna.wav\n\n1,2,2,ben.wav\n", "line 4: this row starts at 1 s, and the row before it at 5 s; sort"),
    ],
)
def test_invalid_rows_are_refused_with_their_line(tmp_path: Path, rows: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        read_turns(table(tmp_path, HEADER + rows))
    assert sentence.format(folder=tmp_path) in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "who.csv"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            "0,,1,anna.wav\n0.1,,2,ben.wav\n0.2,,1,ben.wav\n",
            r"line 4: at 0.2 s face 1 still speaks, until 0.40 s",
        ),
        ("0,3,1,anna.wav\n2,,1,ben.wav\n", r"line 3: at 2 s face 1 still speaks, until 3.00 s \(line 2\)"),
        ("0,,1,anna.wav\n1,,2,notes.txt\n", r"line 3: .*notes.txt"),
    ],
)
def test_errors_in_the_files_are_refused_with_their_line(tmp_path: Path, rows: str, sentence: str) -> None:
    (tmp_path / "notes.txt").write_text("dear diary")
    turns = read_turns(table(tmp_path, HEADER + rows))
    with pytest.raises(InputError, match=rf"^{tmp_path}/who.csv, {sentence}"):
        converse(turns)


def test_a_row_may_name_several_faces_and_use_either_unicode_form(tmp_path: Path) -> None:
    write_wav(tmp_path / unicodedata.normalize("NFD", "Zoë.wav"), speech(0.2))
    found = read_turns(table(tmp_path, HEADER + f'0,,"1, 4",{unicodedata.normalize("NFC", "Zoë.wav")}\n'))
    assert [turn.face for turn in found] == [1, 4]
    assert converse(found).seconds == pytest.approx(0.2)


@pytest.fixture
def film(tmp_path: Path, double: Double) -> Path:
    return write_film(tmp_path / "panel.mp4", [two_faces(time=number / 25) for number in range(5)])


def heard(path: Path) -> float:
    return sum(int(block.shape[1]) for block in open_sound(path).blocks) / 16_000


def test_a_table_says_who_speaks_in_the_api_too(tmp_path: Path, film: Path) -> None:
    who = table(tmp_path, HEADER + "0,0.2,1,anna.wav\n0.1,,2,ben.wav\n")
    said = make_dubber().prepare(film).dub(str(who)).speech
    assert isinstance(said, Conversation)
    assert sorted(said.voices) == [1, 2]


def test_a_table_is_dubbed_by_one_command_and_in_a_batch(tmp_path: Path, film: Path) -> None:
    who = table(tmp_path, HEADER + "0,0.2,1,anna.wav\n0.1,,2,ben.wav\n")
    out = tmp_path / "out.mp4"
    assert cli.main(["dub", str(film), "--speech", str(who), "-o", str(out)]) == 0
    assert heard(out) == pytest.approx(0.5, abs=1e-3)
    (tmp_path / "jobs.csv").write_text("video,speech,output\npanel.mp4,who.csv,a.mp4\npanel.mp4,anna.wav,b.mp4\n")
    assert cli.main(["dub", "--pairs", str(tmp_path / "jobs.csv")]) == 0
    assert heard(tmp_path / "a.mp4") == pytest.approx(0.5, abs=1e-3)
    assert heard(tmp_path / "b.mp4") == pytest.approx(0.4, abs=1e-3)


def test_the_turns_of_a_batch_name_the_faces(
    tmp_path: Path, film: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    table(tmp_path, HEADER + "0,0.2,1,anna.wav\n0.1,,2,ben.wav\n")
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("video,speech,output\npanel.mp4,who.csv,a.mp4\npanel.mp4,anna.wav,b.mp4\n")
    with caplog.at_level("INFO"):
        assert cli.main(["batch", str(jobs)]) == 0
    found = [line for line in caplog.messages if "frames: 5" in line]
    assert found == [f"{film}: frames: 5, faces: 2, to dub: 2", f"{film}: frames: 5, faces: 2, to dub: 1"]
    jobs.write_text("video,speech,output\npanel.mp4,who.csv,c.mp4\n")
    assert cli.main(["batch", str(jobs), "--face", "left"]) == 2
    assert "several speeches name their faces themselves" in capsys.readouterr().err


def test_a_missing_face_is_named_with_its_line(tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    who = table(tmp_path, HEADER + "0,,1,anna.wav\n1,,5,ben.wav\n")
    assert cli.main(["dub", str(film), str(who), "-o", str(tmp_path / "out.mp4"), "-q"]) == 3
    said = capsys.readouterr().err
    assert f"{who}, line 3: there is no face number 5: 2 faces were found; list the faces for their numbers." in said
    assert len(said.splitlines()) == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
