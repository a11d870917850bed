"""What follows from the end or the loss of a task."""

from __future__ import annotations

from pathlib import Path

from lipsmith.cluster.schedule import Schedule
from lipsmith.cluster.tasks import Report, Task
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.parts import Share
from lipsmith.errors import InputError


def split(schedule: Schedule, parts: int) -> list[Task]:
    """The shares of the first film, after a worker has split it."""
    whole = schedule.take(None)
    assert whole is not None
    shares = [Task(whole.job, Share(whole.job.output, range(part, part + 1), 0)) for part in range(parts)]
    assert not schedule.end(whole, Report(shares=shares))
    return shares


JOBS = [Job(Path(name), Path("a.wav"), Path(f"{name}.mp4")) for name in ("a.mp4", "b.mp4")]
FAILED = Report(InputError("It is damaged."))


def test_a_lost_share_of_a_film_that_failed_is_not_done_again() -> None:
    schedule = Schedule(JOBS[:1])
    shares = split(schedule, 2)
    assert [schedule.take(None), schedule.take(None)] == shares
    assert schedule.end(shares[0], FAILED)
    assert schedule.lose(shares[1]) is None
    assert (schedule.left, schedule.waiting) == (0, 0)


def test_shares_of_a_film_that_failed_are_not_begun() -> None:
    schedule = Schedule(JOBS)
    shares = split(schedule, 3)
    assert schedule.take(None) == shares[0]
    assert schedule.end(shares[0], FAILED)
    assert (schedule.left, schedule.waiting) == (1, 1)
    assert schedule.take(None) == Task(JOBS[1])


def test_a_film_of_which_two_shares_fail_is_over_once() -> None:
    schedule = Schedule(JOBS[:1])
    shares = split(schedule, 2)
    assert [schedule.take(None), schedule.take(None)] == shares
    assert [schedule.end(share, FAILED) for share in shares] == [True, False]


def test_a_worker_gets_speeches_of_the_film_that_it_has_prepared() -> None:
    jobs = [Job(Path(film), Path("a.wav"), Path(f"{place}.mp4")) for place, film in enumerate("abab")]
    schedule = Schedule(jobs)
    taken = [schedule.take(Path(film) if film else None) for film in ("b", "b", "b", None)]
    assert [task.job.output.stem for task in taken if task] == ["1", "3", "0", "2"]
