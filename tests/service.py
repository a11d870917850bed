"""Runs `lipsmith serve` for tests, on a free port and with its own data folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class RunningService:
    """A running service."""

    process: subprocess.Popen[str]
    url: str
    data: Path

    def worker(self) -> int | None:
        """Process id of the worker, or None."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        ids = children.read_text().split()
        return int(ids[0]) if ids else None

    def client(self, **headers: str) -> httpx.Client:
        """A new client with its own cookie."""
        # Certificates, which plain HTTP does not need, take 25 ms to load.
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False)

    def kill(self) -> None:
        """Kill the server, but not the worker, which must exit by itself."""
        self.process.kill()
        self.process.wait()


IMPATIENT = "from lipsmith import cli; from lipsmith.serve import connection; connection._TIMEOUT = 5.0; cli.main()"
"""The command line, whose service aborts a stalled request after 5 s instead of 15."""


@contextmanager
def run_service(
    data: Path, *arguments: str, cwd: Path | None = None, impatient: bool = False, **environment: str
) -> Iterator[RunningService]:
    """Run `lipsmith serve` with these arguments; stop it at the end."""
    arguments = arguments if "--threads" in arguments else ("--threads", "1", *arguments)
    program = ("-c", IMPATIENT) if impatient else ("-m", "lipsmith")
    command = [sys.executable, *program, "serve", "--port", "0", "--data", str(data), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment, cwd=cwd)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), "the service did not start"
        wait_for_health(url)
        yield RunningService(process, url, data)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        assert process.stdout is not None
        process.stdout.close()


def wait_until(condition: Callable[[], object], seconds: float = 240) -> None:
    """Poll `condition` until it is true."""
    for _ in range(round(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("the condition was not met in time")


def wait_for_health(url: str) -> None:
    """Return when the service responds."""
    with httpx.Client(verify=False) as client:
        for _ in range(600):
            try:
                if client.get(f"{url}healthz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError("the service never became healthy")


def upload_file(client: httpx.Client, content: Path | bytes) -> str:
    """Upload a file and return its id."""
    content = content.read_bytes() if isinstance(content, Path) else content
    answer = client.post("/v1/uploads", files={"file": ("name", content)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def wait_for_job(client: httpx.Client, job: str, seconds: float = 120) -> dict[str, object]:
    """Poll a job until it has ended, and return it."""
    for _ in range(round(seconds / 0.1)):
        found: dict[str, object] = client.get(f"/v1/jobs/{job}").json()
        if found["state"] not in ("queued", "running"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"the job did not end: {found}")


def wait_for_faces(client: httpx.Client, upload: str, **stretch: float) -> httpx.Response:
    """Poll for faces until the status is not 202, and return the response."""
    for _ in range(1200):
        answer = client.get(f"/v1/uploads/{upload}/faces", params=stretch)
        if answer.status_code != 202:
            return answer
        time.sleep(0.1)
    raise AssertionError("face detection did not end")


def assert_problem(response: httpx.Response, status: int, *words: str) -> None:
    """Check that a response is a problem document with this status, whose sentence contains `words`."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert (document["status"], document["type"]) == (status, "about:blank")
    assert document["title"]
    assert all(word in document["detail"] for word in words), document["detail"]


def errors_under_load(service: RunningService, content: Path, clients: int, polls: int) -> int:
    """Number of errors while several clients upload a file at once, then poll it and their jobs `polls` times."""

    def run_client(_: int) -> int:
        errors = 0
        with service.client() as client:
            upload = upload_file(client, content)
            for _ in range(polls):
                for path in (f"/v1/uploads/{upload}", "/v1/jobs"):
                    errors += client.get(path).status_code != 200
                time.sleep(0.1)
        return errors

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(run_client, range(clients)))


def memory_mb(service: RunningService) -> tuple[float, float]:
    """Resident memory of server and worker, in MB."""
    sizes = []
    for process in (service.process.pid, service.worker()):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        sizes.append(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")))
    return sizes[0], sizes[1]
