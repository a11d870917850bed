"""Source files, speakers and splits derived from folder layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsmith.data.prepare.layouts import Job, distinct, find_jobs
from lipsmith.errors import InputError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def clips(*sources: Path) -> list[str]:
    return [job.clip for job in find_jobs(sources)]


def test_split_folders_give_the_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/p1_001.mp4", "valid/p2_1.mov", "test/p3.webm", "dev/ann/x.mkv", "notes.txt", ".hidden.mp4")
    assert clips(tmp_path) == ["test/p3/p3", "train/p1/p1_001", "val/ann/x", "val/p2/p2_1"]


def test_split_folders_ignore_case(tmp_path: Path) -> None:
    """Otherwise a test film would silently be used in training, with the speaker name Test."""
    touch(tmp_path, "Test/a_1.mp4", "TRAIN/ann/b.mp4", "Dev/c.mp4")
    assert clips(tmp_path) == ["test/a/a_1", "train/ann/b", "val/c/c"]
    assert clips(tmp_path / "Test") == ["test/a/a_1"]


def test_linked_folders_are_searched_once_and_hidden_folders_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/ann/a.mp4", "footage/val/bob/b.mp4", "footage/.Trash/x/old.mp4", "footage/val/cam.MTS")
    (tmp_path / "footage/train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "footage/val/circle").symlink_to(tmp_path / "footage")
    assert clips(tmp_path / "footage") == ["train/ann/a", "val/bob/b", "val/cam/cam"]


def test_footage_without_splits_is_training_data(tmp_path: Path) -> None:
    touch(tmp_path, "footage/ann/interview.MP4", "footage/bob-2.avi", "footage/_1.mp4", "footage/Eva Ruß 3.mp4")
    expected = ["train/Eva_Ruß/Eva_Ruß_3", "train/_1/_1", "train/ann/interview", "train/bob/bob-2"]
    assert clips(tmp_path / "footage") == expected


def test_a_folder_of_one_split_keeps_its_split(tmp_path: Path) -> None:
    """Otherwise a test film would silently be used in training."""
    touch(tmp_path, "test/p1/a.mp4", "test/p2_1.mp4")
    for part in (tmp_path / "test/p1", tmp_path / "test/p1/a.mp4"):
        assert clips(part) == ["test/p1/a"]
    assert clips(tmp_path / "test") == ["test/p1/a", "test/p2/p2_1"]
    assert clips(tmp_path / "test/p2_1.mp4") == ["test/p2/p2_1"]


@pytest.mark.parametrize("place", ["dev/footage", "footage/train"])
def test_a_folder_that_holds_splits_may_lie_in_one_named_as_a_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Otherwise people of `test` would be trained on, all as one person."""
    touch(tmp_path / place, "train/anna_1.mp4", "test/ben/1.mp4")
    expected = ["test/ben/1", "train/anna/anna_1"]
    assert clips(tmp_path / place) == expected
    monkeypatch.chdir(tmp_path / place)
    assert clips(Path("**/*.mp4")) == expected


def test_footage_among_the_projects_in_dev_is_for_training(tmp_path: Path) -> None:
    touch(tmp_path / "dev/footage", "anna_1.mp4", "ben/1.mp4")
    assert clips(tmp_path / "dev/footage") == ["train/anna/anna_1", "train/ben/1"]
    assert clips(tmp_path / "dev") == ["val/ben/1", "val/footage/anna_1"]


def test_lrs2_layout(tmp_path: Path) -> None:
    """Speakers are folders, lists give the split of `main`, and `pretrain`, with the same numbers, is for training."""
    touch(tmp_path, "main/553/00001.mp4", "main/553/00002.mp4", "main/554/00001.mp4", "main/555/00001.mp4")
    touch(tmp_path, "pretrain/554/00001.mp4", "main/553/00001.txt")
    (tmp_path / "train.txt").write_text("553/00001\n553/00002\n")
    (tmp_path / "val.txt").write_text("555/00001\n\n")
    (tmp_path / "test.txt").write_text("554/00001 NF\n")
    (tmp_path / "pretrain.txt").write_text("554/00001\n")
    expected = {
        "main/553/00001": ("train", "553"),
        "main/553/00002": ("train", "553"),
        "main/554/00001": ("test", "554"),
        "main/555/00001": ("val", "555"),
        "pretrain/554/00001": ("train", "554"),
    }
    for root in (tmp_path, tmp_path / "main"):
        found = {
            job.source.relative_to(tmp_path).with_suffix("").as_posix(): (job.split, job.identity)
            for job in find_jobs([root])
        }
        assert found == {name: who for name, who in expected.items() if (tmp_path / name).is_relative_to(root)}


def test_lrw_layout(tmp_path: Path) -> None:
    """The speakers of a word's clips are unknown, so each clip counts as another person."""
    touch(tmp_path, "ABOUT/train/ABOUT_00001.mp4", "ABOUT/val/ABOUT_00002.mp4", "YEARS/test/YEARS_00001.mp4")
    expected = ["test/YEARS_00001/YEARS_00001", "train/ABOUT_00001/ABOUT_00001", "val/ABOUT_00002/ABOUT_00002"]
    assert clips(tmp_path) == expected
    assert clips(tmp_path / "ABOUT") == expected[1:]
    assert clips(tmp_path / "ABOUT/val/ABOUT_00002.mp4") == expected[2:]


def test_voxceleb_layout(tmp_path: Path) -> None:
    """A speaker has a folder of each film; otherwise each film would count as another person."""
    touch(tmp_path, "dev/mp4/id00012/21Ux/00001.mp4", "dev/mp4/id00012/2DLq/00001.mp4", "test/id00017/01dfn/00001.mp4")
    expected = ["test/id00017/01dfn_00001", "train/id00012/21Ux_00001", "train/id00012/2DLq_00001"]
    assert clips(tmp_path) == expected
    assert clips(tmp_path / "dev/mp4") == expected[1:]


def test_patterns_are_expanded_and_repeated_files_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "deep/er/c.mp4")
    monkeypatch.chdir(tmp_path)
    jobs = find_jobs(["*.mp4", "a.mp4", "./a.mp4", tmp_path / "a.mp4", "deep/**/*.mp4"])
    assert [job.clip for job in jobs] == ["train/a/a", "train/b/b", "train/er/c"]
    assert all(job.source.is_absolute() for job in jobs)


@pytest.mark.parametrize("pattern", ["footage/**/*.mp4", "footage/*", "footage/**", "foot*/**/*.mp4"])
def test_the_folders_that_a_pattern_matches_name_speakers_and_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    touch(tmp_path, "footage/anna/1.mp4", "footage/ben/1.mp4", "footage/test/carl/1.mp4")
    monkeypatch.chdir(tmp_path)
    assert [job.clip for job in find_jobs([pattern])] == ["test/carl/1", "train/anna/1", "train/ben/1"]


def test_a_file_of_several_sources_has_the_speaker_of_the_first(tmp_path: Path) -> None:
    touch(tmp_path, "anna/1.mp4")
    assert clips(tmp_path, tmp_path / "anna", tmp_path / "anna/1.mp4") == ["train/anna/1"]
    assert clips(tmp_path / "anna/1.mp4", tmp_path) == ["train/1/1"]


def test_the_output_folder_is_not_searched_for_footage(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "prepared/train/a/a.mp4")
    assert [job.clip for job in find_jobs([tmp_path], tmp_path / "prepared")] == ["train/a/a"]


def test_a_file_named_explicitly_is_taken_with_any_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "film.dat")
    assert clips(tmp_path / "film.dat") == ["train/film/film"]


@pytest.mark.parametrize("source", ["nowhere", "*.mp4", "empty"])
def test_a_missing_source_is_an_input_error(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"does not exist|no video"):
        find_jobs([tmp_path / source])


def test_equal_names_receive_different_suffixes() -> None:
    jobs = [Job(Path(source), "train", "ann", "x") for source in ("1/x.mp4", "2/x.mp4", "3/x.mp4")]
    assert [job.name for job in distinct(jobs, [])] == ["x", "x~2", "x~3"]
    assert [job.name for job in distinct(jobs[:2], ["train/ann/x~2", "train/ann/x"])] == ["x~3", "x~4"]


def test_clip_names_are_valid_file_names(tmp_path: Path) -> None:
    """The separators ~ and + are reserved for clips of one name or one film."""
    touch(tmp_path, "Zoë & co/take~2+3 (final).mp4")
    assert clips(tmp_path) == ["train/Zoë_co/take_2_3_final_"]
