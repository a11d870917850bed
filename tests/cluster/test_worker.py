"""What a worker does with its tasks, one after the other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lipsmith import DubOptions
from lipsmith.cluster.tasks import Task
from lipsmith.cluster.worker import Worker, _error_of
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.parts import Share
from lipsmith.errors import InputError
from long_film import make_worker


def test_shares_of_two_films_are_drawn_each_from_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int]] = []
    prepared: list[str] = []

    def result(_: Worker, task: Task) -> Any:  # noqa: ANN401 - only what is drawn of it
        name = task.job.video.name
        prepared.append(name)
        return SimpleNamespace(draw=lambda share, out, **_: drawn.append((name, share.numbers.start)))

    monkeypatch.setattr(Worker, "_result", result)
    worker = make_worker(DubOptions())
    jobs = [Job(Path(name), Path("a.wav"), Path(f"{name}.mp4")) for name in "ab"]
    for job, part in ((jobs[0], 0), (jobs[0], 1), (jobs[1], 2), (jobs[0], 3)):
        assert worker.work(Task(job, Share(job.output, range(part, part + 1), 0))).error is None
    assert drawn == [("a", 0), ("a", 1), ("b", 2), ("a", 3)]
    assert prepared == ["a", "b", "a"]


class _UnreadableError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def test_errors_that_another_process_cannot_read_are_told_in_words() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert _error_of(lambda: None) is None
    assert isinstance(_error_of(lambda: fail(InputError("It is damaged."))), InputError)
    assert repr(_error_of(lambda: fail(_UnreadableError("no", "room")))) == "RuntimeError('_UnreadableError: no room')"
