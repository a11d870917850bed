"""A saved clip equals the one that was saved."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from double import make_dubber
from lipsmith import Clip
from lipsmith.dubbing import clip_folder
from lipsmith.errors import InputError, LipsmithError, UsageError
from synthetic import face_at, make_film, speech


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, Path]:
    folder = tmp_path_factory.mktemp("clip")
    film = make_film(folder / "film.mp4", 0.6, 25)
    clip = make_dubber().prepare(film)
    return clip, clip.save(folder / "kept")


def test_a_saved_clip_dubs_like_the_prepared_one(prepared: tuple[Clip, Path]) -> None:
    clip, folder = prepared
    loaded = Clip.load(folder, make_dubber())
    assert (loaded.size, loaded.seconds, len(loaded.faces)) == (clip.size, clip.seconds, len(clip.faces))
    assert loaded.source.footage == clip.source.footage
    words = speech(1.0)
    for one, other in zip(clip.dub(words).frames(), loaded.dub(words).frames(), strict=True):
        assert one.time == other.time
        # Saved frames are RGB; frames of a film are converted only at faces, with different rounding.
        assert np.abs(one.image.astype(int) - other.image).mean() < 0.2


def test_the_frames_of_a_saved_clip_can_be_read_again(prepared: tuple[Clip, Path]) -> None:
    clip, folder = prepared
    frames = list(Clip.load(folder, make_dubber()).source.frames())
    assert [frame.time for frame in frames] == clip.times.tolist()


def test_a_clip_of_frames_in_memory_is_kept(tmp_path: Path) -> None:
    clip = make_dubber().prepare([face_at(0, (120, 120))] * 3, rate=12.5)
    loaded = Clip.load(clip.save(tmp_path / "kept"), make_dubber())
    assert (loaded.source.footage, loaded.times.tolist()) == (clip.source.footage, clip.times.tolist())
    assert [face.number for face in loaded.chosen] == [1]


def test_a_large_face_keeps_its_references_at_the_film_s_resolution(tmp_path: Path) -> None:
    clip = make_dubber().prepare([face_at(0, (480, 480))] * 3)
    loaded = Clip.load(clip.save(tmp_path / "kept"), make_dubber())
    for before, after in zip(clip.chosen, loaded.chosen, strict=True):
        assert before.native is not None
        assert after.native is not None
        assert np.array_equal(before.native[0], after.native[0])


def test_a_folder_that_is_not_empty_is_not_overwritten(prepared: tuple[Clip, Path], tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty; choose another folder\.$"):
        prepared[0].save(tmp_path)
    with pytest.raises(UsageError, match=r"diary\.txt is a file; name a folder\.$"):
        prepared[0].save(tmp_path / "diary.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_of_two_runs_that_save_to_one_folder_the_second_is_refused(
    prepared: tuple[Clip, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_slowly(path: Path, images: object) -> None:
        (tmp_path / "kept").mkdir()
        (tmp_path / "kept" / "clip.json").write_text("of the first")

    monkeypatch.setattr(clip_folder, "write_lossless", write_slowly)
    with pytest.raises(UsageError, match="not empty"):
        prepared[0].save(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "clip.json").read_text() == "of the first"


@pytest.mark.parametrize("step", ["hidden_folder_beside", "write_scan"])
def test_a_clip_that_cannot_be_written_is_an_error_of_its_folder(
    prepared: tuple[Clip, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(clip_folder, step, full)
    with pytest.raises(LipsmithError, match="kept was not written: the disk is full"):
        prepared[0].save(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_may_be_the_current_one(
    prepared: tuple[Clip, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_folder, "write_lossless", lambda path, images: path.touch())
    monkeypatch.chdir(tmp_path)
    prepared[0].save(".")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.json", "faces.npz", "frames.avi"]


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (lambda table: table | {"format": 99}, "another version"),
        (lambda table: table | {"size": "large"}, "damaged"),
        (lambda table: [table], "another version"),
        (lambda table: table | {"face_size": 512}, "prepare the clip again"),
        *((lambda table, rate=rate: table | {"rate": rate}, "not a saved clip") for rate in ("fast", "0", "1/0")),
    ],
)
def test_a_folder_that_is_no_clip_is_refused(
    prepared: tuple[Clip, Path], tmp_path: Path, harm: object, error: str
) -> None:
    assert callable(harm)
    folder = tmp_path / "harmed"
    folder.mkdir()
    for path in prepared[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    table = json.loads((folder / "clip.json").read_text())
    (folder / "clip.json").write_text(json.dumps(harm(table)))
    with pytest.raises((InputError, UsageError), match=error):
        Clip.load(folder, make_dubber())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a saved clip"):
        Clip.load(tmp_path, make_dubber())
