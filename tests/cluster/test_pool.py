"""A cluster whose machines no longer start workers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lipsmith.cluster.tasks import Ready, RemoteWorker, Task
from lipsmith.dubbing.pairs import Job
from lipsmith.dubbing.parts import Share
from lipsmith.errors import LipsmithError, UsageError

pool_module = pytest.importorskip("lipsmith.cluster.pool")


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - Ray may be missing
    """A pool on one machine of two cores, of which one worker was ready and then lost."""
    node = {"Alive": True, "Resources": {"CPU": 2.0}}
    monkeypatch.setattr(pool_module._RAY, "nodes", lambda: [node])
    monkeypatch.setattr(pool_module, "_kill", lambda worker: None)
    monkeypatch.setattr(pool_module.time, "sleep", lambda seconds: None)
    pool = pool_module.Pool(lambda: None, threads=1)
    pool._precision = "float"
    return pool


def fail(pool: Any, times: int) -> None:  # noqa: ANN401
    for _ in range(times):
        worker = RemoteWorker(None, None)
        pool._workers.append(worker)
        pool._welcome(worker, Ready("far", UsageError("The machine far has other versions.")))


def test_it_ends_with_the_reason_when_no_worker_is_left_and_none_may_start(pool: Any) -> None:  # noqa: ANN401
    fail(pool, 4)
    assert pool.wait() is None  # one may be tried
    fail(pool, 1)
    with pytest.raises(LipsmithError, match=r"no other starts \(The machine far has other versions\); mend"):
        pool.wait()


def test_it_waits_while_a_worker_is_left_or_all_machines_are_lost(
    pool: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(pool, 5)
    pool._workers.append(RemoteWorker(None, None, machine="here"))
    assert pool.wait() is None
    pool._workers.clear()
    monkeypatch.setattr(pool_module._RAY, "nodes", list)
    assert pool.wait() is None


def test_workers_with_a_gpu_start_only_where_one_is_free_for_each(
    pool: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "_connect", lambda: None)
    monkeypatch.setattr(pool_module.ray, "shutdown", lambda: None)
    machines = [{"Alive": True, "Resources": {"CPU": 8.0} | gpus} for gpus in ({}, {"GPU": 3.0})]
    pool._gpus = 1
    with pytest.raises(UsageError, match="No machine of the Ray cluster has 1 GPU; choose"), pool:
        pass
    monkeypatch.setattr(pool_module._RAY, "nodes", lambda: machines)
    with pool:
        assert pool._room() == 3


def test_it_ends_when_no_worker_starts_at_all(pool: Any) -> None:  # noqa: ANN401
    pool._precision = None
    lost = [RemoteWorker(None, None) for _ in range(4)]
    pool._workers.extend(lost)
    for worker in lost[:3]:
        pool._lose(worker, pool_module.RayError("it has no lipsmith"))
    with pytest.raises(LipsmithError, match=r"No worker starts .* \(it has no lipsmith\); install lipsmith"):
        pool._lose(lost[3], pool_module.RayError("it has no lipsmith"))


def test_all_workers_draw_with_the_precision_of_the_first(pool: Any) -> None:  # noqa: ANN401
    class Actor:
        work = SimpleNamespace(remote=lambda task: task)

    job, worker = Job(Path("a.mp4"), Path("a.wav"), Path("out.mp4")), RemoteWorker(Actor, None)
    pool.start(worker, Task(job))
    assert worker.pending.precision == "float"
    share = Task(job, Share(job.output, range(1), 0), "int8")  # begun with another
    pool.start(worker, share)
    assert worker.pending == share
