"""What follows from the end or the loss of a task."""

from __future__ import annotations

from pathlib import Path

from lipsmith.cluster.schedule import Schedule
from lipsmith.cluster.tasks import Report, Task
from lipsmith.dubbing.batch import Job
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
