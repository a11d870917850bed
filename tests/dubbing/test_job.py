"""An interrupted dub: the same call continues it and gives the same film; other failures leave no files."""

from __future__ import annotations

import logging
import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lipsmith
from double import SIZES, Double
from dub_samples import SIZE, Stopping, write_wav
from lipsmith import DubOptions
from lipsmith.dubbing import pipeline
from lipsmith.dubbing.job import Unfinished, remove_abandoned
from lipsmith.dubbing.parts import UNFINISHED
from lipsmith.dubbing.scan import Scanner
from lipsmith.errors import InputError, LipsmithError, UsageError
from lipsmith.files import HIDDEN, LOCKS, hidden_for
from lipsmith.inference.model_folder import ModelFolder
from lipsmith.media import open_sound, read_frames
from lipsmith.progress import Progress
from synthetic import make_film, speech

PART = 6
FRAMES = 20


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mp4", 0.6, 25, SIZE)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "words.wav", speech(FRAMES / 25))


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Double:
    backend = Double()
    monkeypatch.setattr(pipeline, "find_model", lambda name: ModelFolder(tmp_path / name, SIZES))
    monkeypatch.setattr(pipeline, "load_backend", lambda *_: backend)
    # Nothing lies before a face, so that only frames are drawn.
    monkeypatch.setattr(
        "lipsmith.dubbing.encoded.unusual", lambda pool: (np.zeros(0, np.intp), np.zeros(len(pool.colors), bool))
    )
    for module in ("draw", "job", "parts"):
        monkeypatch.setattr(f"lipsmith.dubbing.{module}.PART", PART)
    return backend


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    return [frame.image for frame in read_frames(path)]


def heard(path: Path) -> NDArray[np.float32]:
    return np.concatenate(list(open_sound(path).blocks), axis=1)


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def stopped(film: Path, words: Path, out: Path, after: int, error: BaseException, **options: object) -> None:
    with pytest.raises(type(error)):
        lipsmith.dub(film, words, out, DubOptions(**options), progress_of=Stopping(after, error))  # type: ignore[arg-type]


@pytest.fixture
def whole(tmp_path: Path, film: Path, words: Path) -> Path:
    out = lipsmith.dub(film, words, tmp_path / "whole.mp4")
    assert left(tmp_path) == []
    return out


@pytest.mark.parametrize("after", [7, 12, 13, 20])
def test_the_same_call_continues_and_gives_the_same_film(
    tmp_path: Path, film: Path, words: Path, whole: Path, double: Double, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    stopped(film, words, out, after, KeyboardInterrupt())
    assert left(tmp_path) == [hidden_for(out, UNFINISHED).name]
    assert not out.exists()
    double.calls.clear()
    monkeypatch.setattr(Scanner, "scan", None)  # the faces must not be scanned again
    lipsmith.dub(film, words, out)
    assert double.calls["paint"] == FRAMES - PART * (after // PART)
    assert all(np.array_equal(one, other) for one, other in zip(pictures(out), pictures(whole), strict=True))
    assert np.array_equal(heard(out), heard(whole))
    assert left(tmp_path) == []


def test_progress_reaches_its_total_where_the_last_part_is_full(tmp_path: Path, film: Path) -> None:
    seen: list[tuple[int, int]] = []
    words = write_wav(tmp_path / "words.wav", speech(2 * PART / 25))

    def note(title: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda done, total: seen.append((done, total)))

    lipsmith.dub(film, words, tmp_path / "out.mp4", DubOptions(end=2 * PART / 25), progress_of=note)
    assert seen[-1] == (2 * PART, 2 * PART)


@pytest.mark.parametrize(
    ("changed", "scanned"),
    [({}, 10), ({"start": 0.2}, 10), ({"end": 0.3}, 8), ({"tail": "keep"}, 15), ({"face": "1"}, 15)],
)
def test_faces_are_looked_for_a_little_beyond_the_speech(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], scanned: int
) -> None:
    monkeypatch.setattr("lipsmith.dubbing.options.BEYOND", 0.2)
    short, seen = write_wav(tmp_path / "short.wav", speech(0.2)), dict[str, int]()

    def note(title: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda done, total: seen.update({title: done}))

    lipsmith.dub(film, short, tmp_path / "out.mp4", DubOptions(**changed), progress_of=note)
    assert seen["film.mp4: faces"] == scanned


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_a_dub_continues_after_several_interruptions_in_any_container(
    tmp_path: Path, film: Path, words: Path, suffix: str
) -> None:
    out, whole = tmp_path / f"out{suffix}", tmp_path / f"whole{suffix}"
    lipsmith.dub(film, words, whole, DubOptions(side_by_side=True, label=True))
    for after in (7, 8, 15):
        stopped(film, words, out, after, KeyboardInterrupt(), side_by_side=True, label=True)
    lipsmith.dub(film, words, out, DubOptions(side_by_side=True, label=True))
    one, other = list(read_frames(out)), list(read_frames(whole))
    assert [frame.time for frame in one] == [frame.time for frame in other]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_a_dub_shorter_than_a_part_keeps_nothing(tmp_path: Path, film: Path) -> None:
    short = write_wav(tmp_path / "short.wav", speech(5 / 25))
    stopped(film, short, tmp_path / "out.mp4", 3, KeyboardInterrupt(), end=0.2)
    assert left(tmp_path) == []


@pytest.mark.parametrize("error", [InputError("no"), UsageError("no")])
def test_input_errors_leave_no_files(tmp_path: Path, film: Path, words: Path, error: LipsmithError) -> None:
    stopped(film, words, tmp_path / "out.mp4", 15, error)
    assert left(tmp_path) == []


def caused(error: LipsmithError) -> LipsmithError:
    """Return the error of a drive that was unplugged."""
    error.__cause__ = OSError("no such device")
    return error


@pytest.mark.parametrize(
    "error", [LipsmithError("the disk is full"), caused(InputError("gone")), caused(UsageError("gone"))]
)
def test_a_disk_that_fails_keeps_finished_parts(
    tmp_path: Path, film: Path, words: Path, double: Double, error: LipsmithError
) -> None:
    stopped(film, words, tmp_path / "out.mp4", 15, error)
    double.calls.clear()
    lipsmith.dub(film, words, tmp_path / "out.mp4")
    assert double.calls["paint"] == FRAMES - 2 * PART


def test_a_name_that_another_program_took_meanwhile_costs_nothing(
    tmp_path: Path, film: Path, words: Path, double: Double
) -> None:
    out = tmp_path / "out.mp4"

    def take(title: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda done, total: out.touch() if done == FRAMES else None)

    with pytest.raises(UsageError, match="set overwrite"):
        lipsmith.dub(film, words, out, progress_of=take)
    double.calls.clear()
    lipsmith.dub(film, words, out, DubOptions(overwrite=True))
    assert "paint" not in double.calls
    assert len(pictures(out)) == FRAMES


def test_a_dub_continues_with_the_precision_with_which_it_began(
    tmp_path: Path, film: Path, words: Path, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may seem faster the next time, and parts of both would make a film that changes."""
    asked: list[str] = []
    monkeypatch.setattr(pipeline, "load_backend", lambda *given: asked.append(given[-1]) or double)
    double.precision, out = "int8", tmp_path / "out.mp4"
    stopped(film, words, out, 7, KeyboardInterrupt())
    stopped(film, words, out, 7, KeyboardInterrupt())
    lipsmith.dub(film, words, out, DubOptions(precision="float"))
    assert asked == ["auto", "int8", "float"]


def test_a_precision_that_another_model_lacks_is_not_asked_of_it(
    tmp_path: Path, film: Path, words: Path, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*given: str) -> Double:
        if given[-1] == "int8":
            raise UsageError("Precision int8 runs on a CPU")
        return double

    double.precision, out = "int8", tmp_path / "out.mp4"
    stopped(film, words, out, 7, KeyboardInterrupt())
    double.precision = "float"
    monkeypatch.setattr(pipeline, "load_backend", load)
    with pytest.raises(UsageError, match="runs on a CPU"):
        lipsmith.dub(film, words, out, DubOptions(precision="int8"))
    assert len(pictures(lipsmith.dub(film, words, out))) == FRAMES


@pytest.mark.parametrize("changed", ["options", "speech", "footage"])
def test_parts_of_a_different_dub_are_not_used(
    tmp_path: Path, film: Path, words: Path, double: Double, caplog: pytest.LogCaptureFixture, changed: str
) -> None:
    out = tmp_path / "out.mp4"
    stopped(film, words, out, 15, KeyboardInterrupt())
    if changed == "speech":
        write_wav(words, speech(FRAMES / 25)[::-1])
    if changed == "footage":
        os.utime(film, (1, 1))
    double.calls.clear()
    with caplog.at_level(logging.INFO):
        lipsmith.dub(film, words, out, DubOptions(strength=1.5 if changed == "options" else 1.0))
    assert double.calls["paint"] == FRAMES
    assert "starts over" in caplog.text
    assert left(tmp_path) == []


def test_without_resume_no_parts_are_kept_or_used(tmp_path: Path, film: Path, words: Path, double: Double) -> None:
    out = tmp_path / "out.mp4"
    stopped(film, words, out, 15, KeyboardInterrupt())
    stopped(film, words, out, 15, KeyboardInterrupt(), resume=False)
    assert left(tmp_path) == []
    double.calls.clear()
    lipsmith.dub(film, words, out, DubOptions(resume=False))
    assert double.calls["paint"] == FRAMES


def test_an_incomplete_part_is_rendered_again(
    tmp_path: Path, film: Path, words: Path, whole: Path, double: Double
) -> None:
    out = tmp_path / "out.mp4"
    stopped(film, words, out, 19, KeyboardInterrupt())
    second = hidden_for(out, UNFINISHED) / "00001.nut"
    second.write_bytes(second.read_bytes()[:-1])
    double.calls.clear()
    lipsmith.dub(film, words, out)
    assert double.calls["paint"] == FRAMES - PART
    assert all(np.array_equal(one, other) for one, other in zip(pictures(out), pictures(whole), strict=True))


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_two_runs_cannot_write_the_same_result(tmp_path: Path, film: Path, words: Path) -> None:
    out = tmp_path / "out.mp4"
    stopped(film, words, out, 15, KeyboardInterrupt())
    key = {"of": "another"}
    folder = hidden_for(out, UNFINISHED)
    (folder / "key.json").write_text('{"of": "another"}')
    with Unfinished(out, key, True), pytest.raises(UsageError, match="Another run"):
        lipsmith.dub(film, words, out)
    lipsmith.dub(film, words, out)


def test_unfinished_dubs_are_removed_after_a_week(tmp_path: Path, film: Path, words: Path) -> None:
    folders = [tmp_path / f"{HIDDEN}{name}{UNFINISHED}" for name in ("0" * 12, "1" * 12)]
    for folder, days in zip(folders, (8, 6), strict=True):
        folder.mkdir()
        (folder / "key.json").write_text("{}")
        os.utime(folder, (time.time() - days * 86_400,) * 2)
    lipsmith.dub(film, words, tmp_path / "out.mp4")
    assert [folder.exists() for folder in folders] == [False, True]
    os.utime(folders[1], (1, 1))
    remove_abandoned(tmp_path, besides=folders[1])
    assert folders[1].exists()


def test_another_run_may_end_while_old_dubs_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / f"{HIDDEN}{'0' * 12}{UNFINISHED}"
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [gone])
    remove_abandoned(tmp_path, besides=tmp_path / "other")


@pytest.mark.parametrize("removing", [False, True], ids=["before its folder is removed", "while it is removed"])
def test_a_finished_result_of_a_killed_run_is_not_rendered_again(
    tmp_path: Path, film: Path, words: Path, monkeypatch: pytest.MonkeyPatch, removing: bool
) -> None:
    out = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:  # killed at the last moment
        patch.setattr(Unfinished, "__exit__", lambda self, *_: self._release())
        lipsmith.dub(film, words, out)
    assert left(tmp_path)
    if removing:
        with monkeypatch.context() as patch:
            patch.setattr("lipsmith.dubbing.job.shutil.rmtree", lambda folder, **_: (folder / "00001.npz").unlink())
            with Unfinished(out, {}, True):
                pass
    before = out.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        lipsmith.dub(film, words, out)
    assert left(tmp_path) == []
    assert out.read_bytes() == before


def test_an_unfinished_dub_is_kept_when_its_output_exists(tmp_path: Path, film: Path, words: Path) -> None:
    out = tmp_path / "out.mp4"
    stopped(film, words, out, 15, KeyboardInterrupt())
    out.write_bytes(b"something else")
    with pytest.raises(UsageError, match="exists"):
        lipsmith.dub(film, words, out)
    assert left(tmp_path)


def test_faces_of_long_footage_are_kept(tmp_path: Path, film: Path) -> None:
    """The result is shorter than a part and the footage longer, so only the faces are kept."""
    short = write_wav(tmp_path / "short.wav", speech(5 / 25))
    stopped(film, short, tmp_path / "out.mp4", 3, KeyboardInterrupt())
    kept = hidden_for(tmp_path / "out.mp4", UNFINISHED)
    assert sorted(path.name for path in kept.iterdir()) == ["faces.npz", "key.json", "lock"]
    lipsmith.dub(film, short, tmp_path / "out.mp4")
    assert left(tmp_path) == []
