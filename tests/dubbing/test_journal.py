"""An interrupted batch continues: finished jobs are not repeated, and unfinished jobs do not count as finished."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from double import Double, make_dubber
from dub_samples import SIZE, no_face, write_wav
from lipsmith import DubOptions, Result
from lipsmith.dubbing.batch import Batch
from lipsmith.dubbing.job import Unfinished
from lipsmith.dubbing.journal import Journal, journal_of
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.parts import UNFINISHED
from lipsmith.errors import SomeFailedError, UsageError
from lipsmith.files import LOCKS, hidden_for
from synthetic import make_film, speech

OUTPUTS = ("1.mp4", "2.mp4", "3.mp4")


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    film, words = make_film(tmp_path / "film.mp4", 0.2, 25, SIZE), write_wav(tmp_path / "words.wav", speech(0.2))
    return [Job(film, words, tmp_path / name) for name in OUTPUTS]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[list[str], int]]:
    """Run a batch up to a number of results; return their names and the number of rendered frames."""

    def run(jobs: list[Job], stop: int = 99, **options: bool) -> tuple[list[str], int]:
        backend = Double()
        results = Batch(make_dubber(backend), DubOptions(**options)).run(jobs, journal_of(tmp_path, tmp_path))  # type: ignore[arg-type]
        made = [path.name for path in islice(results, stop)]
        results.close()  # type: ignore[attr-defined]
        return made, backend.calls.get("paint", 0)

    return run


def interrupt(*given: object) -> None:
    raise KeyboardInterrupt


def write_as_another(result: Result, out: Path, *others: object) -> None:
    result.save(out)
    raise UsageError("Another run wrote it meanwhile.")


def hidden(folder: Path) -> list[Path]:
    return list(folder.glob(".lipsmith-*"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_finished_jobs_are_not_repeated(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]], overwrite: bool
) -> None:
    assert run(jobs, stop=2, overwrite=overwrite) == (["1.mp4", "2.mp4"], 10)
    before = [(tmp_path / name).stat().st_mtime_ns for name in OUTPUTS[:2]]
    assert run(jobs, overwrite=overwrite) == (["1.mp4", "2.mp4", "3.mp4"], 5)
    assert [(tmp_path / name).stat().st_mtime_ns for name in OUTPUTS[:2]] == before
    assert hidden(tmp_path) == []


def test_a_complete_batch_starts_again(jobs: list[Job], run: Callable[..., tuple[list[str], int]]) -> None:
    run(jobs)
    assert run(jobs, overwrite=True)[1] == 15


def test_results_of_a_complete_batch_are_skipped_when_a_job_is_added(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]], caplog: pytest.LogCaptureFixture
) -> None:
    assert run(jobs[:2])[0] == ["1.mp4", "2.mp4"]
    with caplog.at_level(logging.INFO):
        assert run(jobs) == (list(OUTPUTS), 5)
    assert "Results that exist and are newer than their films and speech: 2 of 3" in caplog.text
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("change", ["older than its speech", "not a dub"])
def test_other_files_in_the_place_of_results_are_not_skipped(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]], change: str
) -> None:
    run(jobs[:2])
    if change == "older than its speech":
        os.utime(tmp_path / "2.mp4", (1, 1))
    else:
        (tmp_path / "2.mp4").write_bytes(jobs[0].video.read_bytes())
    with pytest.raises(SomeFailedError) as caught:
        run(jobs)
    assert [path for path, reason in caught.value.failures if "exists" in reason] == [str(tmp_path / "2.mp4")]


def test_an_interrupted_replacement_is_not_finished(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(jobs)
    monkeypatch.setattr("lipsmith.dubbing.batch.write_film", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(jobs, overwrite=True)
    monkeypatch.undo()
    with pytest.raises(SomeFailedError, match="1 of 3"):  # 1.mp4 was to be replaced, and that is of before
        run(jobs)
    assert run(jobs, overwrite=True)[1] == 15


def test_a_replacement_without_its_journal_line_counts_as_finished(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]]
) -> None:
    run(jobs)
    run(jobs, stop=2, overwrite=True)
    (journal,) = hidden(tmp_path)
    journal.write_text("\n".join(journal.read_text().splitlines()[:-1]))
    assert run(jobs, overwrite=True) == (list(OUTPUTS), 5)


def test_a_result_that_another_run_wrote_meanwhile_is_not_of_this_batch(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipsmith.dubbing.batch.write_film", write_as_another)
    with pytest.raises(SomeFailedError, match="3 of 3"):
        run(jobs)
    monkeypatch.undo()
    with pytest.raises(SomeFailedError, match="3 of 3"):
        run(jobs)


def test_parts_that_another_process_writes_do_not_stop_the_batch(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]]
) -> None:
    run(jobs, stop=2)
    with Unfinished(tmp_path / "2.mp4", {}, resume=True) as other:
        other._make()
        assert run(jobs) == (list(OUTPUTS), 5)


def test_only_failed_jobs_are_tried_again(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]]
) -> None:
    faceless = replace(jobs[1], video=no_face(tmp_path))
    with pytest.raises(SomeFailedError):
        run([jobs[0], faceless, jobs[2]])
    assert run(jobs) == (["1.mp4", "3.mp4", "2.mp4"], 5)


@pytest.mark.parametrize("change", ["input", "result", "removed", "options", "no resume"])
def test_jobs_with_changed_inputs_are_repeated(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]], change: str
) -> None:
    run(jobs, stop=2)
    if change == "input":
        os.utime(jobs[0].speech, (1, 1))
    if change == "result":
        (tmp_path / "1.mp4").write_bytes(b"mine")
    if change == "removed":
        (tmp_path / "1.mp4").unlink()
    options = {"options": {"label": True}, "no resume": {"resume": False}}.get(change, {})
    again = {"input": 15, "result": 10, "removed": 10, "options": 15, "no resume": 15}[change]
    assert run(jobs, overwrite=True, **options)[1] == again
    assert hidden(tmp_path) == []


def test_a_result_without_its_journal_line_counts_as_finished(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]]
) -> None:
    """Simulates a kill between writing the line for the start of a job and the line for its end."""
    run(jobs, stop=2)
    (journal,) = hidden(tmp_path)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:-1]) + lines[-1][:30])
    assert run(jobs) == (list(OUTPUTS), 5)


def test_the_parts_of_a_finished_result_are_removed(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]]
) -> None:
    """Simulates a kill between naming a result and removing its parts."""
    run(jobs, stop=2)
    parts = hidden_for(tmp_path / "2.mp4", UNFINISHED)
    parts.mkdir()
    (parts / "00000.nut").write_bytes(b"a part")
    assert run(jobs) == (list(OUTPUTS), 5)
    assert hidden(tmp_path) == []


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_a_killed_job_of_other_inputs_is_not_done(tmp_path: Path) -> None:
    output, path = tmp_path / "1.mp4", journal_of(tmp_path, tmp_path)
    with suppress(KeyboardInterrupt), Journal(path) as lines:
        lines.begin(output, {"speech": "old"})
        output.touch()
        interrupt()
    with Journal(path) as lines:
        assert lines.is_done(output, {"speech": "old"})
        assert not lines.is_done(output, {"speech": "new"})


def test_a_journal_lasts_as_long_as_it_takes_to_continue(tmp_path: Path) -> None:
    output, path = tmp_path / "1.mp4", journal_of(tmp_path, tmp_path)
    with pytest.raises(KeyboardInterrupt), Journal(path):
        interrupt()
    assert not path.exists()  # nothing was begun
    with suppress(KeyboardInterrupt), Journal(path) as lines:
        lines.begin(output, {})
        interrupt()
    os.utime(path, (1, 1))
    with Journal(path) as lines:
        assert lines.knows(output)


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_a_batch_runs_once_at_a_time(
    tmp_path: Path, jobs: list[Job], run: Callable[..., tuple[list[str], int]]
) -> None:
    with Journal(journal_of(tmp_path, tmp_path)), pytest.raises(UsageError, match="another process"):
        run(jobs)


def test_each_batch_has_its_own_journal_and_old_journals_are_removed(tmp_path: Path) -> None:
    paths = [journal_of(tmp_path, Path(name), None) for name in ("films", "more films")]
    assert len(set(paths)) == 2
    paths[1].touch()
    os.utime(paths[1], (time.time() - 8 * 86_400,) * 2)
    with Journal(paths[0]):
        assert hidden(tmp_path) == [paths[0]]
    assert hidden(tmp_path) == []


def test_a_batch_runs_without_a_journal_if_none_can_be_written(tmp_path: Path, jobs: list[Job]) -> None:
    nowhere = tmp_path / "missing" / "journal"
    assert len(list(Batch(make_dubber(), DubOptions()).run(jobs, nowhere))) == 3


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system opens links only as what they name")
def test_a_journal_that_others_linked_to_a_file_does_not_change_it(tmp_path: Path) -> None:
    path, other = journal_of(tmp_path, tmp_path), tmp_path / "other"
    other.write_text("mine")
    path.symlink_to(other)
    for resume in (True, False):
        with Journal(path, resume) as journal:
            journal.begin(tmp_path / "1.mp4", {})
    assert other.read_text() == "mine"
