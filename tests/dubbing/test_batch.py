"""Many dubs in one call: no existing file is lost, and a failed dub does not affect the others."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from double import CONFIG, Double, make_dubber
from dub_samples import SIZE, no_face, plain_face, silent_film, write_png, write_wav
from lipsmith import Clip, Dubber, DubOptions, Result
from lipsmith.dubbing import batch as module
from lipsmith.dubbing.batch import Batch, Noted
from lipsmith.dubbing.encoded import EncodedFaces
from lipsmith.dubbing.job import write_film
from lipsmith.dubbing.journal import Journal
from lipsmith.dubbing.pairs import Job, pair
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

    def faulty(result: Result, out: Path, *others: object) -> Path:
        if out.name == "1.mp4":
            raise RuntimeError("generator raised StopIteration")
        return write_film(result, out, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_film", faulty)
    made: list[Path] = []
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
    made: list[Path] = []
    with pytest.raises(SomeFailedError, match="1 of 3"):
        made.extend(batch().run([Job(film, words, tmp_path / f"{number}.mp4") for number in range(3)]))
    assert [path.name for path in made] == ["1.mp4", "2.mp4"]
