"""Pairs of films and speech from folders and tables: what has no partner is named, what cannot be paired is refused."""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path

import pytest

from lipsmith.dubbing.pairs import Job, pair, read_pairs
from lipsmith.errors import InputError, UsageError


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return touched(tmp_path / "words.wav")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return touched(tmp_path / "film.mp4")


def touched(path: Path) -> Path:
    path.touch()
    return path


def test_a_path_that_does_not_exist_leaves_no_folder_of_results(tmp_path: Path, words: Path) -> None:
    for video, said in ((tmp_path / "none.mp4", words.parent), (words.parent, tmp_path / "none.wav")):
        with pytest.raises(InputError, match=r"none\.\w+ does not exist"):
            pair(video, said, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_without_a_partner_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder, names in (("films", ("a.mp4", "b.mp4", "d.mp4")), ("words", ("b.wav", "c.wav", "e.wav"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    with caplog.at_level(logging.WARNING):
        jobs = pair(tmp_path / "films", tmp_path / "words", tmp_path / "out")
    assert [job.output.name for job in jobs] == ["b.mp4"]
    alone = ["films/a.mp4", "films/d.mp4", "words/c.wav", "words/e.wav"]
    assert [message.split(" is skipped")[0] for message in caplog.messages] == [str(tmp_path / at) for at in alone]


def test_results_of_a_table_need_a_folder(tmp_path: Path, film: Path, words: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_bytes(b"mine")
    table = tmp_path / "pairs.csv"
    table.write_text(f"video,speech,output\n{film},{words},a.mp4\n")
    with pytest.raises(UsageError, match="is a file"):
        read_pairs(table, taken)
    assert taken.read_bytes() == b"mine"


def test_one_film_says_every_speech_of_a_folder_and_results_join_others(tmp_path: Path, film: Path) -> None:
    (tmp_path / "speeches").mkdir()
    for name in ("hello.wav", "bye.mp3"):
        (tmp_path / "speeches" / name).touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "earlier.mp4").touch()
    jobs = pair(film, tmp_path / "speeches", tmp_path / "out")
    assert [(job.video, job.output.name) for job in jobs] == [(film, "bye.mp4"), (film, "hello.mp4")]


def test_files_with_other_suffixes_are_named(tmp_path: Path, words: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "films").mkdir()
    for name in ("a.mp4", "b.ts", "c.tiff", "notes.txt", ".hidden"):
        (tmp_path / "films" / name).touch()
    with caplog.at_level(logging.WARNING):
        jobs = pair(tmp_path / "films", words, tmp_path / "out")
    assert [job.video.name for job in jobs] == ["a.mp4", "b.ts", "c.tiff"]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith(": notes.txt")


def test_an_output_folder_replaces_the_folder_of_the_table(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(f"video,speech,output\na.mp4,a.wav,sub/a.mp4\nb.mp4,b.wav,{tmp_path / 'elsewhere' / 'b.mp4'}\n")
    outputs = [job.output.relative_to(tmp_path).as_posix() for job in read_pairs(table, tmp_path / "out")]
    assert outputs == ["out/sub/a.mp4", "out/b.mp4"]
    assert read_pairs(table)[1].output == tmp_path / "elsewhere" / "b.mp4"


def test_an_output_folder_holds_all_results(tmp_path: Path) -> None:
    table, out = tmp_path / "pairs.csv", tmp_path / "out"
    table.write_text("video,speech,output\na.mp4,a.wav,sub/../a.mp4\nb.mp4,b.wav,sub/../../b.mp4\n")
    with pytest.raises(InputError, match=r"line 3: the output .*b\.mp4 leads out of the folder .*out; correct it"):
        read_pairs(table, out)
    assert not out.exists()
    assert [job.output.resolve().name for job in read_pairs(table)] == ["a.mp4", "b.mp4"]
    table.write_text("video,speech,output\na.mp4,a.wav,sub/../a.mp4\nb.mp4,b.wav,..b.mp4\n")
    assert [job.output.resolve() for job in read_pairs(table, out)] == [out / "a.mp4", out / "..b.mp4"]


@pytest.mark.parametrize("header", ["video:speech:output", "video,audio,out", "video,speech"])
def test_a_table_without_the_required_columns_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "pairs.csv").write_text(f"{header}\na.mp4,b.wav,c.mp4\n")
    with pytest.raises(InputError, match="has no column"):
        read_pairs(tmp_path / "pairs.csv")


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("video,speech,output\n")
    with pytest.raises(InputError, match=r"pairs\.csv has no rows; add rows"):
        read_pairs(tmp_path / "pairs.csv")


def test_a_table_may_contain_spaces_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("video, speech, output\na.mp4, b.wav, c.mp4\n")
    assert read_pairs(tmp_path / "pairs.csv") == [Job(tmp_path / "a.mp4", tmp_path / "b.wav", tmp_path / "c.mp4")]
    with pytest.raises(InputError, match="does not exist"):
        read_pairs(tmp_path / "none.csv")


@pytest.mark.parametrize(("spelled", "written"), [("NFC", "NFD"), ("NFD", "NFC")], ids=["films plain", "words plain"])
def test_names_in_decomposed_unicode_find_their_partner(tmp_path: Path, spelled: str, written: str) -> None:
    for folder, form, suffix in (("films", spelled, ".mp4"), ("words", written, ".wav")):
        (tmp_path / folder).mkdir()
        for name in ("Zoë", "가나", "plain"):
            (tmp_path / folder / f"{unicodedata.normalize(form, name)}{suffix}").touch()  # type: ignore[arg-type]
    assert len(pair(tmp_path / "films", tmp_path / "words", tmp_path / "out")) == 3
    table = tmp_path / "pairs.csv"
    table.write_text(f"video,speech,output\nfilms/{unicodedata.normalize('NFC', 'Zoë')}.mp4,words/plain.wav,a.mp4\n")
    assert read_pairs(table)[0].video.exists()


def test_names_that_differ_only_in_case_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("films/Anna.mp4", "films/b.mp4", "words/anna.wav", "words/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING):
        pair(tmp_path / "films", tmp_path / "words", tmp_path / "out")
    assert [message.endswith("names differ only in upper and lower case") for message in caplog.messages] == [
        True,
        True,
    ]


def test_an_output_folder_with_the_name_of_a_film_is_refused(tmp_path: Path, film: Path, words: Path) -> None:
    with pytest.raises(UsageError, match="name of a film"):
        pair(film.parent, words, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
