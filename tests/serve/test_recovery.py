"""What was accepted is done, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service import Running, await_health, ended, running, send

# Fixed, so that a failure can be had again; LIPSMITH_KILLS=30 is the long run.
KILLS = int(os.environ.get("LIPSMITH_KILLS", "1"))


def kill_worker(service: Running) -> None:
    worker = service.worker()
    if worker is not None:
        os.kill(worker, signal.SIGKILL)


def accept(client: httpx.Client, wanted: dict[str, str], count: int) -> list[str]:
    answers = [client.post("/v1/jobs", json=wanted) for _ in range(count)]
    assert {answer.status_code for answer in answers} == {202}
    return [answer.json()["id"] for answer in answers]


def until(condition: Callable[[], bool], seconds: float = 240) -> None:
    for _ in range(round(seconds / 0.02)):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it never came true")


def test_every_accepted_job_ends_whoever_is_killed(film: Path, voice: Path, tmp_path: Path) -> None:
    chance, data = random.Random(1), tmp_path / "data"
    jobs: list[str] = []
    client = httpx.Client(timeout=60)
    wanted: dict[str, str] = {}
    for number in range(KILLS):
        with running(data) as service:
            client.base_url = service.url
            until(lambda: client.get("/healthz").json()["active"] < 10)
            wanted = wanted or {"video": send(client, film), "speech": send(client, voice)}
            jobs += accept(client, wanted, 2)
            # At any moment of a start, or of a job.
            if number % 2 == 0:
                until(lambda: any(job["state"] == "running" for job in client.get("/v1/jobs").json()))
            time.sleep(chance.uniform(0, 0.5 if number % 2 == 0 else 5))
            kill_worker(service)
            time.sleep(chance.uniform(0, 5))
            jobs += accept(client, wanted, 1)
            if number % 3 == 0:
                service.kill()
    with running(data) as service:
        client.base_url = service.url
        states = [ended(client, job)["state"] for job in jobs]
        assert states == ["done"] * (3 * KILLS)
        for job in jobs:
            assert client.get(f"/v1/jobs/{job}/result").status_code == 200
        assert not list(data.glob("jobs/*/.lipsmith-*"))
    client.close()


def test_the_worker_ends_with_its_server(tmp_path: Path) -> None:
    with running(tmp_path / "data") as service:
        worker = service.worker()
        assert worker is not None
        service.kill()
        for _ in range(100):
            if not Path(f"/proc/{worker}").exists() or "Z" in Path(f"/proc/{worker}/stat").read_text().split()[2]:
                break
            time.sleep(0.1)
        else:
            pytest.fail("the worker goes on without its server")


def test_a_job_that_ends_every_worker_fails(film: Path, voice: Path, tmp_path: Path) -> None:
    with running(tmp_path / "data") as service, service.client() as client:
        wanted = {"video": send(client, film), "speech": send(client, voice)}
        (job,) = accept(client, wanted, 1)
        while (found := client.get(f"/v1/jobs/{job}").json())["state"] != "failed":
            assert found["state"] != "done", "the worker was never caught at it"
            worker = service.worker()
            if found["state"] == "running" and worker is not None:
                os.kill(worker, signal.SIGSEGV)
            time.sleep(0.02)
        assert "damaged" in found["problem"]
        await_health(service.url)
        (job,) = accept(client, wanted, 1)
        assert ended(client, job)["state"] == "done"


def test_what_expires_is_removed(film: Path, voice: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--keep", "1s") as service, service.client() as client:
        wanted = {"video": send(client, film), "speech": send(client, voice)}
        (job,) = accept(client, wanted, 1)
        ended(client, job)
        for _ in range(100):
            if client.get(f"/v1/jobs/{job}").status_code == 404 and not any((data / "uploads").iterdir()):
                break
            time.sleep(0.2)
        assert client.get(f"/v1/uploads/{wanted['video']}").status_code == 404
        assert not any((data / "jobs").iterdir())
