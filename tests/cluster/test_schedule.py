"""What follows from the end or the loss of a task."""

from __future__ import annotations

from pathlib import Path

from lipsmith.cluster.schedule import Schedule
from lipsmith.cluster.tasks import Report, Task
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.parts import Share
from lipsmith.errors import InputError


def test_a_lost_share_of_a_film_that_failed_is_not_done_again() -> None:
    job = Job(Path("a.mp4"), Path("a.wav"), Path("out.mp4"))
    schedule = Schedule([job])
    whole = schedule.take(None)
    assert whole is not None
    shares = [Task(job, Share(job.output, range(part, part + 1), 0)) for part in range(2)]
    assert not schedule.end(whole, Report(shares=shares))
    first, second = schedule.take(None), schedule.take(None)
    assert (first, second) == (shares[0], shares[1])
    assert schedule.end(shares[0], Report(InputError("It is damaged.")))
    assert schedule.lose(shares[1]) is None
    assert (schedule.left, schedule.waiting) == (0, 0)


def test_shares_of_a_film_that_failed_are_not_begun() -> None:
    jobs = [Job(Path(name), Path("a.wav"), Path(f"{name}.mp4")) for name in ("a.mp4", "b.mp4")]
    schedule = Schedule(jobs)
    whole = schedule.take(None)
    assert whole is not None
    schedule.end(whole, Report(shares=[Task(jobs[0], Share(jobs[0].output, range(n, n + 1), 0)) for n in range(3)]))
    first = schedule.take(None)
    assert first is not None
    assert schedule.end(first, Report(InputError("It is damaged.")))
    assert (schedule.left, schedule.waiting) == (1, 1)
    assert schedule.take(None) == Task(jobs[1])


def test_a_film_of_which_two_shares_fail_is_over_once() -> None:
    job = Job(Path("a.mp4"), Path("a.wav"), Path("out.mp4"))
    schedule = Schedule([job])
    shares = [Task(job, Share(job.output, range(part, part + 1), 0)) for part in range(2)]
    whole = schedule.take(None)
    assert whole is not None
    schedule.end(whole, Report(shares=shares))
    assert [schedule.take(None), schedule.take(None)] == shares
    failed = Report(InputError("It is damaged."))
    assert [schedule.end(share, failed) for share in shares] == [True, False]


def test_a_worker_gets_speeches_of_the_film_that_it_has_prepared() -> None:
    jobs = [Job(Path(film), Path("a.wav"), Path(f"{place}.mp4")) for place, film in enumerate("abab")]
    schedule = Schedule(jobs)
    taken = [schedule.take(Path(film) if film else None) for film in ("b", "b", "b", None)]
    assert [task.job.output.stem for task in taken if task] == ["1", "3", "0", "2"]
