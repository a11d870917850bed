"""One list of endings for all that reads folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsmith.data.prepare.layouts import find_jobs
from lipsmith.dubbing.pairs import pair
from lipsmith.evaluation.film_pairs import find_pairs
from lipsmith.media.suffixes import ANIMATIONS, FILMS, PICTURES, SOUNDS, is_media


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_hidden_files_and_folders_are_not_media(tmp_path: Path) -> None:
    assert is_media(touch(tmp_path / "A.MP4"), FILMS)
    assert not is_media(touch(tmp_path / "._A.MP4"), FILMS)
    assert not is_media(touch(tmp_path / "a.wav"), FILMS)
    (tmp_path / "folder.mp4").mkdir()
    assert not is_media(tmp_path / "folder.mp4", FILMS)
    assert not is_media(tmp_path / "absent.mp4", FILMS)


def test_no_suffix_has_two_kinds() -> None:
    assert not FILMS & PICTURES | FILMS & SOUNDS | PICTURES & SOUNDS
    assert all(ending == ending.lower() and ending.startswith(".") for ending in FILMS | PICTURES | SOUNDS)


@pytest.mark.parametrize("ending", sorted(FILMS))
def test_dub_score_and_prepare_find_the_same_films(tmp_path: Path, ending: str) -> None:
    film, words = touch(tmp_path / "films" / f"a{ending}"), touch(tmp_path / "a.wav")
    made = touch(tmp_path / "made" / f"a{ending}")
    assert [job.video for job in pair(film.parent, words, tmp_path / "out")] == [film]
    assert [(found.real, found.generated) for found in find_pairs(film.parent, made.parent)] == [(film, made)]
    assert [job.source for job in find_jobs([film.parent])] == [film]


@pytest.mark.parametrize("ending", sorted(PICTURES))
def test_pictures_in_folders_are_dubbed(tmp_path: Path, ending: str) -> None:
    picture, words = touch(tmp_path / "pictures" / f"a{ending}"), touch(tmp_path / "a.wav")
    assert [job.video for job in pair(picture.parent, words, tmp_path / "out")] == [picture]


@pytest.mark.parametrize("ending", sorted(SOUNDS))
def test_recordings_in_folders_are_used_as_speech(tmp_path: Path, ending: str) -> None:
    film, words = touch(tmp_path / "a.mp4"), touch(tmp_path / "words" / f"b{ending}")
    assert [job.speech for job in pair(film, words.parent, tmp_path / "out")] == [words]


@pytest.mark.parametrize("ending", sorted(ANIMATIONS))
def test_an_animation_is_scored_unless_a_film_has_its_name(tmp_path: Path, ending: str) -> None:
    real, made = touch(tmp_path / "real" / f"a{ending}"), touch(tmp_path / "made" / "a.avi")
    assert [found.real for found in find_pairs(real.parent, made.parent)] == [real]
    film = touch(tmp_path / "real" / "a.3gp")
    assert [found.real for found in find_pairs(real.parent, made.parent)] == [film]
