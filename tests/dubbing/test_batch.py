"""Many dubs in one call: no existing file is lost, and a failed dub does not affect the others."""

from __future__ import annotations

import logging
import os
import unicodedata
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from double import CONFIG, Double, make_dubber
from dub_samples import SIZE, no_face, plain_face, silent_film, write_png, write_wav
from lipsmith import Clip, Dubber, DubOptions, Result
from lipsmith.dubbing import batch as module
from lipsmith.dubbing.batch import Batch, Job, Noted, pair, read_pairs
from lipsmith.dubbing.encoded import EncodedFaces
from lipsmith.dubbing.journal import Journal
from lipsmith.dubbing.scan import ArrayStore, most_at_once
from lipsmith.errors import InputError, LipsmithError, SomeFailedError, UsageError
from synthetic import face_at, make_film, speech


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "words.wav", speech(0.2))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", 0.2, 25, SIZE)


def batch(overwrite: bool = True) -> Batch:
    return Batch(make_dubber(), DubOptions(overwrite=overwrite))


def test_no_result_replaces_the_input_of_another_job(tmp_path: Path, film: Path, words: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(film.read_bytes())
    jobs = [Job(film, words, other), Job(other, words, tmp_path / "third.mp4")]
    with pytest.raises(UsageError, match=r"other\.mp4 would be replaced"):
        list(batch().run(jobs))
    assert other.read_bytes() == film.read_bytes()
    assert not (tmp_path / "third.mp4").exists()


def test_no_result_replaces_a_speech_in_the_table_of_another_job(tmp_path: Path, film: Path, words: Path) -> None:
    anna, table, broken = tmp_path / "anna.mp4", tmp_path / "lines.csv", tmp_path / "broken.csv"
    anna.write_bytes(words.read_bytes())
    table.write_text("start,end,face,speech\n0,,1,anna.mp4\n")
    broken.write_text("start\n")
    results = [tmp_path / f"{number}.mp4" for number in range(2)]
    jobs = [Job(film, words, anna), *(Job(film, said, out) for said, out in zip((broken, table), results, strict=True))]
    with pytest.raises(UsageError, match=r"anna\.mp4 would be replaced"):
        list(batch().run(jobs))
    assert anna.read_bytes() == words.read_bytes()
    music = Batch(make_dubber(), DubOptions(overwrite=True, background=anna))
    with pytest.raises(UsageError, match=r"anna\.mp4 would be replaced"):
        list(music.run(jobs[:2]))


def test_films_of_the_same_name_cannot_share_a_result(tmp_path: Path, film: Path, words: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "film.mov").write_bytes(film.read_bytes())
    film.rename(tmp_path / "films" / "film.mp4")
    with pytest.raises(UsageError, match="more than once"):
        list(batch().run(pair(tmp_path / "films", words, tmp_path / "out")))
    assert not list((tmp_path / "out").iterdir())


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


def test_missing_files_are_named_before_the_work(
    tmp_path: Path, film: Path, words: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = [tmp_path / f"z{number}.mp4" for number in range(5)] + [tmp_path / f"{300 * 'z'}.mp4"]
    jobs = [Job(video, words, tmp_path / f"{number}.mp4") for number, video in enumerate([film, *gone])]
    made = batch().run(jobs)
    assert next(made) == tmp_path / "0.mp4"
    (warning,) = (message for message in caplog.messages if "do not exist" in message)
    assert f": 6 ({', '.join(map(str, gone[:5]))}, ...)" in warning
    with pytest.raises(SomeFailedError):
        list(made)


def test_an_unexpected_error_fails_only_its_own_job(
    tmp_path: Path, film: Path, words: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(film.read_bytes())
    jobs = [Job(film, words, tmp_path / "1.mp4"), Job(other, words, tmp_path / "2.mp4")]
    write_film = module.write_film

    def faulty(result: Result, out: Path, *others: object) -> Path:
        if out.name == "1.mp4":
            raise RuntimeError("generator raised StopIteration")
        return write_film(result, out, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_film", faulty)
    made = []
    with pytest.raises(SomeFailedError) as caught, caplog.at_level(logging.INFO):
        made.extend(batch().run(jobs))
    assert made == [tmp_path / "2.mp4"]
    assert "StopIteration" in str(caught.value.failures)
    assert f"{tmp_path / '1.mp4'} failed: generator raised StopIteration" in caplog.messages
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        silent_film,
        lambda folder: write_png(folder / "face.png"),
        lambda folder: write_wav(folder / "empty.wav", np.zeros(0, np.float32)),
    ],
)
def test_speech_is_checked_before_any_work(tmp_path: Path, film: Path, make: object) -> None:
    (tmp_path / "speech").mkdir()
    silent = make(tmp_path / "speech")  # type: ignore[operator]
    begun: list[str] = []

    def note(title: str) -> AbstractContextManager[None]:
        begun.append(title)
        return nullcontext()

    with pytest.raises(InputError):
        list(Batch(make_dubber(), DubOptions(), note).run([Job(film, silent, tmp_path / "out.mp4")]))
    assert begun == []


def test_results_of_a_table_need_a_folder(tmp_path: Path, film: Path, words: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_bytes(b"mine")
    table = tmp_path / "pairs.csv"
    table.write_text(f"video,speech,output\n{film},{words},a.mp4\n")
    with pytest.raises(UsageError, match="is a file"):
        read_pairs(table, taken)
    assert taken.read_bytes() == b"mine"


def test_a_result_never_replaces_its_own_footage_or_speech(film: Path, words: Path, tmp_path: Path) -> None:
    spoken = make_film(tmp_path / "spoken.mp4", 0.2, 25, SIZE, audio=speech(0.2))
    clip = make_dubber().prepare(film)
    for path, said in ((film, words), (spoken, spoken)):
        before = path.read_bytes()
        with pytest.raises(UsageError, match="its own result"):
            clip.dub(said).save(path, overwrite=True)
        assert path.read_bytes() == before


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_each_face_of_a_shot_is_encoded_once_and_forgotten_in_the_next() -> None:
    backend = Double()
    face = make_dubber(backend).prepare([face_at(0, SIZE)] * 3).faces[0]
    store = ArrayStore()
    faces = [replace(face, index=index, pool=store.put(np.zeros((3, 64, 64, 3), np.uint8))) for index in range(4)]
    encoded = EncodedFaces(backend, 2)
    for shot in (faces[:2], faces[2:], faces[:2]):
        for face in shot * 3:
            _ = encoded[face]
    assert backend.calls["reference"] == 6 * 3


def test_as_many_faces_are_kept_as_one_frame_shows() -> None:
    faces = [replace(plain_face(1), frames=np.arange(*ends)) for ends in ((0, 5), (4, 9), (5, 9), (7, 8), (9, 20))]
    assert most_at_once(faces) == 3
    assert most_at_once([]) == 0


def test_a_film_that_cannot_be_prepared_is_tried_once(
    tmp_path: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faceless, looked = no_face(tmp_path), []
    prepare = Batch._prepare
    monkeypatch.setattr(
        Batch, "_prepare", lambda self, video, *rest: looked.append(video) or prepare(self, video, *rest)
    )
    jobs = [Job(faceless, words, tmp_path / f"{number}.mp4") for number in range(3)]
    with pytest.raises(SomeFailedError) as caught:
        list(batch().run(jobs))
    assert looked == [faceless]
    assert len(caught.value.failures) == 3


def turns_table(folder: Path) -> Path:
    write_wav(folder / "turn.wav", speech(0.2))
    (folder / "who.csv").write_text("start,end,face,speech\n0,,1,turn.wav\n")
    return folder / "who.csv"


def test_footage_is_prepared_again_for_other_faces(
    tmp_path: Path, film: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, faces = Dubber.prepare, []

    def noted(self: Dubber, video: Path, face: str, *given: object, **options: object) -> Clip:
        faces.append(face)
        return prepare(self, video, face, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Dubber, "prepare", noted)
    speeches = [words, words, turns_table(tmp_path)]
    list(batch().run([Job(film, said, tmp_path / f"{number}.mp4") for number, said in enumerate(speeches)]))
    assert faces == ["largest", "all"]


def test_a_result_is_made_again_if_a_speech_of_its_table_is_newer(tmp_path: Path, film: Path) -> None:
    job = Job(film, turns_table(tmp_path), tmp_path / "out.mp4")
    list(batch().run([job]))
    noted = Noted(Journal(None), DubOptions(), CONFIG)
    assert noted.is_kept(job)
    later = job.output.stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "turn.wav", ns=(later, later))
    assert not noted.is_kept(job)


@pytest.mark.parametrize("passing", [LipsmithError("The disk is full."), OSError("read error"), MemoryError()])
def test_an_error_that_may_pass_costs_no_other_job_of_the_film(
    tmp_path: Path, film: Path, words: Path, monkeypatch: pytest.MonkeyPatch, passing: Exception
) -> None:
    prepare, errors = Dubber.prepare, [passing]

    def faulty(self: Dubber, *given: object, **options: object) -> Clip:
        if errors:
            raise errors.pop()
        return prepare(self, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Dubber, "prepare", faulty)
    made = []
    with pytest.raises(SomeFailedError, match="1 of 3"):
        made.extend(batch().run([Job(film, words, tmp_path / f"{number}.mp4") for number in range(3)]))
    assert [path.name for path in made] == ["1.mp4", "2.mp4"]


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
