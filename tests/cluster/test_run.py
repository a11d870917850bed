"""A batch on workers: the films of lost ones go to others, long films are split, and all is as on one machine."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from double import CONFIG, Double, make_dubber
from dub_samples import SIZE, no_face, write_wav
from lipsmith import DubOptions
from lipsmith.cluster.run import ClusterBatch, outcomes
from lipsmith.cluster.schedule import TRIES
from lipsmith.cluster.tasks import RemoteWorker, Report, Task
from lipsmith.cluster.worker import Worker
from lipsmith.dubbing.batch import Batch, run_all
from lipsmith.dubbing.job import surroundings
from lipsmith.dubbing.journal import journal_of
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.parts import UNFINISHED, TakenError
from lipsmith.errors import InputError, LipsmithError, SomeFailedError, UsageError
from lipsmith.files import LOCKS, hidden_for, hold
from lipsmith.inference.model_folder import write_config
from lipsmith.media import open_sound, read_frames
from long_film import PART, SHOTS, make_long, make_worker, small_parts
from synthetic import make_film, speech

Lost = Callable[[Task], bool]


class Fakes:
    """Workers in this process; each does its task when it is waited for, but for the tasks that it is lost over."""

    def __init__(self, workers: int, options: DubOptions, lost: Lost = lambda task: False) -> None:
        self.backends = [Double() for _ in range(workers)]
        self._workers = [make_worker(options, backend) for backend in self.backends]
        self.remote = [RemoteWorker(place, None, machine="here") for place in range(workers)]
        self._lost, self.done = lost, list[tuple[int, Task]]()

    @property
    def idle(self) -> list[RemoteWorker]:
        return [worker for worker in self.remote if worker.task is None]

    def grow(self, waiting: int) -> None:
        pass

    def start(self, worker: RemoteWorker, task: Task) -> None:
        worker.task, worker.video = task, task.job.video

    def wait(self) -> tuple[Task, Report | None] | None:
        busy = [worker for worker in self.remote if worker.task is not None]
        if not busy:
            return None
        worker = busy[-1]  # in another order than they were begun
        task, worker.task = worker.task, None
        assert task is not None
        if self._lost(task):
            return task, None
        self.done.append((worker.actor, task))
        return task, self._workers[worker.actor].work(task)


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with small_parts():
        yield


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with a film of several shots, and a short film and short speech."""
    folder = tmp_path_factory.mktemp("inputs")
    make_long(folder, folder / "out.mp4")
    make_film(folder / "short.mp4", 0.2, 25, SIZE)
    write_wav(folder / "short.wav", speech(0.2))
    return folder


def job(inputs: Path, name: str, out: Path) -> Job:
    return Job(inputs / f"{name}.mp4", inputs / f"{name}.wav", out)


def run(jobs: list[Job], fakes: Fakes, journal: Path | None = None, **options: bool) -> list[Path]:
    return list(run_all(jobs, DubOptions(**options), CONFIG, partial(outcomes, workers=fakes), journal))  # type: ignore[arg-type]


def shown(path: Path) -> list[NDArray[np.uint8]]:
    return [frame.image for frame in read_frames(path)]


def assert_equal_films(one: Path, other: Path) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(shown(one), shown(other), strict=True))
    heard, expected = (np.concatenate(list(open_sound(path).blocks), axis=1) for path in (one, other))
    assert np.array_equal(heard, expected)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def whole(inputs: Path, small: None) -> Path:
    alone = job(inputs, "long", inputs / "whole.mp4")
    list(Batch(make_dubber(), DubOptions()).run([alone]))
    return alone.output


def test_a_long_film_is_split_after_cuts_and_equals_that_of_one_machine(
    inputs: Path, tmp_path: Path, whole: Path
) -> None:
    fakes = Fakes(3, DubOptions(), lost=lambda task: task.share is not None and task.tries == 0)
    out = tmp_path / "long.mp4"
    assert run([job(inputs, "long", out)], fakes) == [out]
    shares = [task.share for _, task in fakes.done if task.share]
    # Parts begin at frames 0, 4, ... 24, and shots at 0, 7, 11 and 20. Parts 2, 4 and 6 begin at 8, 16 and 24.
    assert sorted((share.numbers.start, share.numbers.stop, share.before) for share in shares) == [
        (0, 2, 0),
        (2, 4, 7),
        (4, 6, 11),
        (6, 7, 20),
    ]
    drawn, needed = sum(backend.calls["paint"] for backend in fakes.backends), sum(SHOTS) + 1 + 5 + 4
    assert needed <= drawn <= needed + 3 * 10  # frames are drawn ahead, also at the end of a share
    assert_equal_films(out, whole)
    assert hidden(tmp_path) == []


def test_one_machine_continues_what_a_cluster_began(inputs: Path, tmp_path: Path, whole: Path) -> None:
    long = job(inputs, "long", tmp_path / "long.mp4")
    fakes = Fakes(1, DubOptions(), lost=lambda task: task.share is not None and task.share.numbers.start == 2)
    with pytest.raises(LipsmithError, match="3 workers were lost"):
        run([long], fakes)
    assert len(hidden(tmp_path)) == 1
    backend = Double()
    list(Batch(make_dubber(backend), DubOptions()).run([long]))
    assert backend.calls["paint"] == sum(SHOTS) - 2 * PART
    assert_equal_films(long.output, whole)


def test_films_of_lost_workers_go_to_others(inputs: Path, tmp_path: Path) -> None:
    jobs = [job(inputs, "short", tmp_path / f"{number}.mp4") for number in range(4)]
    fakes = Fakes(2, DubOptions(), lost=lambda task: task.job.output.name in "2.mp4 3.mp4" and not task.tries)
    assert sorted(run(jobs, fakes)) == [one.output for one in jobs]
    assert all(one.output.exists() for one in jobs)


def test_a_film_over_which_every_worker_is_lost_fails_alone(inputs: Path, tmp_path: Path) -> None:
    jobs = [job(inputs, "short", tmp_path / f"{number}.mp4") for number in range(2)]
    lost: list[Task] = []
    fakes = Fakes(2, DubOptions(), lost=lambda task: task.job == jobs[0] and not lost.append(task))
    with pytest.raises(SomeFailedError) as caught:
        run(jobs, fakes)
    assert len(lost) == TRIES
    assert [item for item, _ in caught.value.failures] == [str(jobs[0].output)]
    assert jobs[1].output.exists()


def test_what_a_lost_worker_finished_counts(inputs: Path, tmp_path: Path) -> None:
    short = job(inputs, "short", tmp_path / "out.mp4")

    def late(task: Task) -> bool:
        short.output.write_bytes(b"complete")
        return True

    assert run([short], Fakes(1, DubOptions(), lost=late)) == [short.output]


def test_the_journal_and_the_errors_are_those_of_one_machine(inputs: Path, tmp_path: Path) -> None:
    jobs = [job(inputs, "short", tmp_path / f"{number}.mp4") for number in range(3)]
    jobs[1] = Job(no_face(tmp_path), jobs[1].speech, jobs[1].output)
    jobs[2].output.write_bytes(b"mine")
    journal = journal_of(tmp_path, tmp_path)
    failures = []
    for again in (False, True):
        fakes = Fakes(2, DubOptions())
        made: list[Path] = []
        with pytest.raises(SomeFailedError) as caught:
            made.extend(run_all(jobs, DubOptions(), CONFIG, partial(outcomes, workers=fakes), journal))
        assert made == [jobs[0].output]
        assert len(fakes.done) == (1 if again else 2)
        failures.append(sorted(caught.value.failures))
    with pytest.raises(SomeFailedError) as caught:
        list(Batch(make_dubber(), DubOptions()).run(jobs, journal))  # one machine goes on with the same journal
    assert sorted(caught.value.failures) == failures[0] == failures[1]
    assert jobs[2].output.read_bytes() == b"mine"


def test_a_single_jobs_own_error_is_raised_and_what_workers_log_is_logged(
    inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    short = job(inputs, "short", tmp_path / "out.mp4")
    with pytest.raises(InputError, match="no face"):
        run([Job(no_face(tmp_path), short.speech, short.output)], Fakes(1, DubOptions()))
    with caplog.at_level(logging.INFO):
        run([short], Fakes(1, DubOptions()))
    assert any("frames: 5, faces: 1" in message for message in caplog.messages)


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_a_worker_waits_for_the_locks_of_a_lost_one(
    inputs: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = job(inputs, "long", tmp_path / "long.mp4")
    folder = hidden_for(long.output, UNFINISHED)
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        assert hold(lock.fileno())
        monkeypatch.setattr("lipsmith.cluster.worker.time.sleep", lambda _: lock.close())
        assert isinstance(make_worker(DubOptions()).work(Task(long, may_split=False)).error, TakenError)
        assert make_worker(DubOptions()).work(Task(long, may_split=False, tries=1)).error is None
    assert_equal_films(long.output, whole)


@pytest.mark.parametrize("what", ["versions", "face recognizer"])
def test_machines_must_have_the_same_versions_and_recognizer(what: str) -> None:
    other = make_worker(DubOptions())
    assert what in other.surroundings
    other.surroundings = {**surroundings(), what: "0"}
    error = other.load().error
    assert isinstance(error, UsageError)
    assert f"in the {what}: " in str(error)
    assert make_worker(DubOptions()).load().error is None


def test_workers_get_names_and_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray starts them in another folder, where a relative path leads elsewhere."""
    made: list[Worker] = []

    def pool(make: Callable[[], Worker], threads: int, gpus: int) -> None:
        made.append(make())
        raise LipsmithError("No machine is needed to see what it gets.")

    monkeypatch.setitem(sys.modules, "lipsmith.cluster.pool", SimpleNamespace(Pool=pool))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    write_config(tmp_path / "mine", {"face_size": 64, "references_per_frame": 3, "lips": 5, "window": 5})
    options = DubOptions(background=Path("music.wav"))
    for model in ("mine", "fast"):
        with pytest.raises(LipsmithError, match="No machine is needed"):
            list(ClusterBatch(options, model).run([Job(Path("a.mp4"), Path("a.wav"), Path("out.mp4"))]))
    asked = [worker.dubber_of.args[0] for worker in made]  # type: ignore[attr-defined]
    assert (asked, made[0].options.background) == ([tmp_path / "mine", "fast"], tmp_path / "music.wav")
