"""Accepted jobs finish even if the worker or the server is killed."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from dub_samples import write_wav
from service import RunningService, run_service, upload_file, wait_for_health, wait_for_job, wait_until
from synthetic import speech

# LIPSMITH_KILLS=30 is the long run; the random seed is fixed.
KILLS = int(os.environ.get("LIPSMITH_KILLS", "1"))


def kill_worker(service: RunningService) -> None:
    worker = service.worker()
    if worker is not None:
        os.kill(worker, signal.SIGKILL)


def submit_jobs(client: httpx.Client, request: dict[str, str], count: int) -> list[str]:
    responses = [client.post("/v1/jobs", json=request) for _ in range(count)]
    assert {response.status_code for response in responses} == {202}
    return [response.json()["id"] for response in responses]


def test_every_accepted_job_finishes_despite_kills(film: Path, voice: Path, tmp_path: Path) -> None:
    generator, data = random.Random(1), tmp_path / "data"
    jobs: list[str] = []
    client = httpx.Client(timeout=60)
    request: dict[str, str] = {}
    for number in range(KILLS):
        with run_service(data) as service:
            client.base_url = service.url
            wait_until(lambda: client.get("/healthz").json()["active"] < 10)
            request = request or {"video": upload_file(client, film), "speech": upload_file(client, voice)}
            jobs += submit_jobs(client, request, 2)
            # Kill during startup, or during a job.
            if number % 2 == 0:
                wait_until(lambda: any(job["state"] == "running" for job in client.get("/v1/jobs").json()))
            time.sleep(generator.uniform(0, 0.5 if number % 2 == 0 else 5))
            kill_worker(service)
            time.sleep(generator.uniform(0, 5))
            jobs += submit_jobs(client, request, 1)
            if number % 3 == 0:
                service.kill()
    with run_service(data) as service:
        client.base_url = service.url
        states = [wait_for_job(client, job)["state"] for job in jobs]
        assert states == ["done"] * (3 * KILLS)
        for job in jobs:
            assert client.get(f"/v1/jobs/{job}/result").status_code == 200
        assert not list(data.glob("jobs/*/.lipsmith-*"))
    client.close()


def has_exited(process: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        return "Z" in Path(f"/proc/{process}/stat").read_text().split()[2]
    except OSError:
        return True


def test_the_worker_exits_with_its_server(tmp_path: Path) -> None:
    with run_service(tmp_path / "data") as service:
        worker = service.worker()
        assert worker is not None
        service.kill()
        wait_until(lambda: has_exited(worker), 60)


def test_a_job_that_crashes_the_worker_twice_fails(film: Path, voice: Path, tmp_path: Path) -> None:
    with run_service(tmp_path / "data") as service, service.client() as client:
        request = {"video": upload_file(client, film), "speech": upload_file(client, voice)}
        long = upload_file(client, write_wav(tmp_path / "long.wav", speech(40)))  # does not end before it is killed
        (job,) = submit_jobs(client, request | {"speech": long}, 1)
        while (found := client.get(f"/v1/jobs/{job}").json())["state"] != "failed":
            worker = service.worker()
            if found["state"] == "running" and worker is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGSEGV)
            time.sleep(0.02)
        assert "damaged" in found["problem"]
        wait_for_health(service.url)
        (job,) = submit_jobs(client, request, 1)
        assert wait_for_job(client, job)["state"] == "done"


def test_a_film_that_is_half_sent_leaves_no_trace_at_the_end(
    film: Path, voice: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with run_service(tmp_path / "data") as service, service.client() as client:
        (job,) = submit_jobs(client, {"video": upload_file(client, film), "speech": upload_file(client, voice)}, 1)
        wait_for_job(client, job)
        os.truncate(tmp_path / "data" / "jobs" / job / "result.mp4", 50_000_000)
        with client.stream("GET", f"/v1/jobs/{job}/result"):
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(timeout=30) == 0
    assert "Traceback" not in capfd.readouterr().err


def test_a_watched_job_leaves_no_trace_at_the_end(
    film: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    long = write_wav(tmp_path / "long.wav", speech(40))
    with run_service(tmp_path / "data") as service, service.client() as client:
        (job,) = submit_jobs(client, {"video": upload_file(client, film), "speech": upload_file(client, long)}, 1)
        with client.stream("GET", f"/v1/jobs/{job}/events") as events:
            lines = events.iter_lines()
            next(lines)
            service.process.send_signal(signal.SIGINT)
            with pytest.raises(httpx.TransportError):  # an end would mean that of the job
                list(lines)
            assert service.process.wait(timeout=30) == 0
    assert "ASGI" not in capfd.readouterr().err


def test_expired_files_are_removed(film: Path, voice: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with run_service(data, "--keep", "4s") as service, service.client() as client:
        request = {"video": upload_file(client, film), "speech": upload_file(client, voice)}
        (job,) = submit_jobs(client, request, 1)
        wait_for_job(client, job)
        wait_until(lambda: client.get(f"/v1/jobs/{job}").status_code == 404 and not any((data / "uploads").iterdir()))
        assert client.get(f"/v1/uploads/{request['video']}").status_code == 404
        assert not any((data / "jobs").iterdir())
