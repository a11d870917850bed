"""Results are written atomically, read back unchanged, and never replace the inputs of a command."""

from __future__ import annotations

import errno
import json
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipsmith import cli, errors, files
from lipsmith.cli.results import read_figures, write_figures
from lipsmith.disk import discard, write_whole_folder
from lipsmith.files import (
    LOCKS,
    FileLock,
    hold,
    refuse_clashes,
    refuse_existing,
    refuse_filled,
    refuse_outputs,
    require,
    write_whole,
)


def test_figures_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    figures: dict[str, Any] = {"psnr": math.inf, "lpips_vgg": math.nan, "ssim": np.float32(0.5), "frames": 7}
    settings = {"data": tmp_path, "face_size": 128}
    write_figures(path, figures, settings, [{"clip": "a", "psnr": np.array([1.0, -np.inf])}], overwrite=False)
    raw = json.loads(path.read_text())
    assert raw["figures"] == {"psnr": "inf", "lpips_vgg": None, "ssim": 0.5, "frames": 7}
    assert raw["rows"] == [{"clip": "a", "psnr": [1.0, "-inf"]}]
    found = read_figures(path)
    assert found.figures["psnr"] == math.inf
    assert math.isnan(found.figures["lpips_vgg"])
    assert found.settings == {"data": str(tmp_path), "face_size": 128}


@pytest.mark.parametrize("text", ["", "[]", '{"figures": {}}', '{"figures": 1, "settings": {}, "rows": []}'])
def test_a_file_without_figures_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(errors.InputError, match=r"holds no results \(.*; give a file that --json wrote"):
        read_figures(path)


def test_results_are_overwritten_only_on_request(tmp_path: Path) -> None:
    there = tmp_path / "there.mp4"
    there.touch()
    with pytest.raises(errors.UsageError, match="set overwrite"):
        refuse_existing(there, overwrite=False)
    refuse_existing(there, overwrite=True)
    refuse_existing(tmp_path / "new.mp4", overwrite=False)
    with pytest.raises(errors.UsageError, match="is a folder"):
        refuse_existing(tmp_path, overwrite=True)
    with pytest.raises(errors.UsageError, match="does not exist"):
        refuse_existing(tmp_path / "nowhere" / "new.mp4", overwrite=False)


@pytest.mark.parametrize(
    "words",
    [
        "sign film.mp4 -o film.mp4 --certificate chain.pem --key key.pem",
        "sign film.mp4 -o key.pem --certificate chain.pem --key key.pem",
        "sign film.mp4 -o chain.pem --certificate chain.pem --key key.pem",
        "sync film.mp4 --json ./film.mp4",
        "sync clips --json clips/manifest.jsonl",
        "score film.mp4 films/a.mp4 --json film.mp4",
        "score films made --json made/a.mp4",
        "evaluate clips --json clips/manifest.jsonl",
        "evaluate clips --model run --markdown run/config.json",
        "evaluate clips --variant none=run --latex run/config.json",
        "evaluate clips --outputs theirs=made --latex made/a.mp4",
        "evaluate landmarks run --data clips --json run/landmarks.json",
        "report results.json -o results.json",
        "inspect clips.png -o clips.png",
        "cost face.toml --json face.toml",
        "cost fast --landmarks face.toml --json face.toml",
        "prepare film.mp4 new --json film.mp4",
        "prepare films new --json films/a.mp4",
        "prepare film.mp4 clips --json clips/manifest.jsonl",
        "export --landmarks run --renderer run -o run",
        "train landmarks fast --data clips --out clips",
        "train renderer fast --data clips --out run --start run",
        "train sync fast --data clips --out clips",
    ],
)
def test_no_verb_replaces_its_inputs(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = "film.mp4 chain.pem key.pem films/a.mp4 made/a.mp4 clips/manifest.jsonl clips.png/manifest.jsonl"
    for name in (*names.split(), "run/config.json", "run/landmarks.json", "results.json", "face.toml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    before = sorted(tmp_path.rglob("*"))
    assert cli.main([*words.split(), *([] if "train" in words else ["--overwrite"])]) == 2
    assert "would be replaced by its own result" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_two_results_need_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["--json", "a.json", "--latex", "./a.json"], ["--markdown", "strips", "--strips", "strips"]):
        assert cli.main(["evaluate", "clips", *words]) == 2
        assert "would be written more than once" in capsys.readouterr().err


def test_results_may_be_written_into_their_input_folder(tmp_path: Path) -> None:
    (tmp_path / "figures.json").touch()
    files = [tmp_path / "figures.json", None]
    refuse_outputs(files, True, inputs=[tmp_path, "fast", None], folder=tmp_path / "strips")
    with pytest.raises(errors.UsageError, match="set overwrite"):
        refuse_outputs(files, False, inputs=[tmp_path])


def test_names_of_the_maximum_length_work(tmp_path: Path) -> None:
    with write_whole(tmp_path / f"{'n' * 250}.json") as beside:
        assert beside.suffix == ".json"
        beside.touch()
    with write_whole_folder(tmp_path / ("n" * 255)) as folder:
        (folder / "a").touch()
    assert sorted(len(path.name) for path in tmp_path.iterdir()) == [255, 255]


def test_an_error_names_the_result(tmp_path: Path) -> None:
    for name, write in (("a.json", write_whole), ("model", write_whole_folder)):
        with pytest.raises(OSError, match=f"{name}'$"), write(tmp_path / name):
            raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"other'$"), write_whole(tmp_path / "a.json"):
        raise OSError(errno.ENOENT, "No such file", "other")


def test_an_error_of_something_else_does_not_name_the_result(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"Cannot allocate memory$"), write_whole(tmp_path / "a.json"):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")


def test_an_error_leaves_the_old_result(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def fail() -> None:
        with write_whole(path) as beside:
            beside.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    "words", ["sign none.mp4 -o out.mp4 --certificate chain.pem --key key.pem", "report none.json -o page.html"]
)
def test_a_missing_input_is_named_first(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words.split()) == 3
    assert "does not exist; check the path" in capsys.readouterr().err


def test_of_two_writers_only_the_first_gets_the_name(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"

    def race() -> None:
        with write_whole(path, False) as late:
            late.write_text("late")
            with write_whole(path, False) as early:
                early.write_text("early")

    with pytest.raises(errors.UsageError, match="Another run wrote"):
        race()
    assert path.read_text() == "early"
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]
    with write_whole(path, True) as wanted:
        wanted.write_text("wanted")
    assert path.read_text() == "wanted"


def test_without_hard_links_the_name_is_taken_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*paths: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with write_whole(tmp_path / "out.txt", False) as beside:
        beside.write_text("whole")
    assert (tmp_path / "out.txt").read_text() == "whole"
    with pytest.raises(errors.UsageError, match="Another run"), write_whole(tmp_path / "out.txt", False) as beside:
        beside.write_text("late")
    assert (tmp_path / "out.txt").read_text() == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_temporary_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    stale, other = tmp_path / ".lipsmith-0123456789ab.mp4", tmp_path / ".lipsmith-notes.mp4"
    stale.touch()
    other.touch()
    with write_whole(tmp_path / "a.txt") as living, write_whole(tmp_path / "b.txt"):
        assert living.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "a.txt", "b.txt"]


def test_old_temporary_files_are_removed_where_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCKS", False)
    old, new = tmp_path / ".lipsmith-0123456789ab.mp4", tmp_path / ".lipsmith-abcdef012345.mp4"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    with write_whole(tmp_path / "a.txt"):
        assert not old.exists()
        assert new.exists()


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_temporary_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    lock = tmp_path / ".lipsmith-0123456789ab.2"
    stale = tmp_path / f"{lock.name}.folder"
    stale.mkdir()
    (stale / "a").touch()
    lock.touch()
    with write_whole_folder(tmp_path / "v1.2") as first, write_whole_folder(tmp_path / "second") as second:
        assert not stale.exists()
        (first / "a").touch()
        (second / "b").touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "second", "second/b", "v1.2", "v1.2/a",
    ]  # fmt: skip


@pytest.mark.parametrize("address", ["https://example.com/a.wav", "file:///tmp/a.wav", "s3://bucket/a.mp4"])
def test_a_url_is_refused_as_no_file(address: str) -> None:
    for path in (Path(address), Path("/folder/of/a/table") / address):
        with pytest.raises(errors.InputError, match=f"^{address} is a URL, but lipsmith reads only files"):
            require(path)
        with pytest.raises(errors.UsageError, match=f"^{address} is a URL, but lipsmith writes only files"):
            refuse_existing(path, overwrite=False)


def test_a_link_to_nothing_takes_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "nothing.mp4")
    with pytest.raises(errors.UsageError, match="exists"):
        refuse_existing(tmp_path / "a.mp4", overwrite=False)


def test_a_loop_of_links_is_replaced_only_on_request(tmp_path: Path) -> None:
    loop, film = tmp_path / "a.mp4", tmp_path / "film.mp4"
    loop.symlink_to(loop)
    film.touch()
    with pytest.raises(errors.UsageError, match="exists"):
        refuse_outputs([loop], overwrite=False, inputs=[film])
    refuse_outputs([loop], overwrite=True, inputs=[film])
    with write_whole(loop) as beside:
        beside.touch()
    assert loop.is_file()
    assert not loop.is_symlink()


def test_too_long_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="choose a shorter name"):
        refuse_existing(tmp_path / f"{'n' * 256}.mp4", overwrite=False)
    with pytest.raises(errors.InputError, match="cannot be read"):
        require(tmp_path / f"{'n' * 256}.mp4")


def test_a_folder_that_cannot_be_removed_is_not_left_locked(tmp_path: Path) -> None:
    (tmp_path / "key.json").mkdir()  # which nobody can unlink
    discard(tmp_path, first="key.json")
    lock = os.open(tmp_path / "lock", os.O_RDWR)
    assert hold(lock)
    os.close(lock)


def test_temporary_files_stay_where_nothing_can_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")  # of some network file systems

    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    monkeypatch.setattr(fcntl, "flock", refuse)
    of_another = tmp_path / ".lipsmith-0123456789ab.mp4"
    of_another.touch()
    with write_whole(tmp_path / "b.txt") as beside:
        beside.touch()
    assert of_another.exists()


def test_a_name_in_other_case_is_the_same_file_where_case_is_ignored(tmp_path: Path) -> None:
    film, shouted, linked = (tmp_path / name for name in ("film.mp4", "FILM.mp4", "link.mp4"))
    film.touch()
    with suppress(FileExistsError):  # on a file system that ignores case, where both names have one file anyway
        os.link(film, shouted)
    os.link(film, linked)
    with pytest.raises(errors.UsageError, match="replaced by its own result"):
        refuse_clashes([shouted], [film])
    refuse_clashes([linked, tmp_path / "FILM2.mp4"], [film])


def test_a_result_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, steps = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append((os.fstat(descriptor).st_size, path.exists())))
    with write_whole(path) as beside:
        beside.write_text("12345")
    assert steps[0] == (5, False)


def test_a_written_file_is_not_left_open(tmp_path: Path) -> None:
    def lowest_free() -> list[int]:
        descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
        for descriptor in descriptors:
            os.close(descriptor)
        return descriptors

    before = lowest_free()
    with write_whole(tmp_path / "a.txt") as beside:
        beside.touch()
    assert lowest_free() == before


@pytest.mark.skipif(not LOCKS, reason="Windows has no such locks")
def test_a_shared_lock_excludes_only_those_who_do_not_share(tmp_path: Path) -> None:
    locks = [FileLock(tmp_path / "lock", shared=shared) for shared in (True, True, False)]
    assert [lock.is_held for lock in locks] == [True, True, False]
    for lock in locks:
        lock.close()
    assert FileLock(tmp_path / "lock").is_held


def test_an_empty_folder_may_take_results(tmp_path: Path) -> None:
    refuse_filled(tmp_path, overwrite=False)
    (tmp_path / "a").touch()
    refuse_filled(tmp_path, overwrite=True)
    with pytest.raises(errors.UsageError, match="is not empty"):
        refuse_filled(tmp_path, overwrite=False)


def test_home_is_the_platforms_cache_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIPSMITH_HOME", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert files.home() == Path("/elsewhere/lipsmith")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert files.home() == Path.home() / ".cache/lipsmith"
    monkeypatch.setattr("sys.platform", "darwin")
    assert files.home() == Path.home() / "Library/Caches/lipsmith"
