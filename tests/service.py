"""A running service for tests: the command itself, on a port of its own, with a data folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class Running:
    """A service and where it is."""

    process: subprocess.Popen[str]
    url: str
    data: Path

    def worker(self) -> int | None:
        """The worker's process number, while it has one."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        numbers = children.read_text().split()
        return int(numbers[0]) if numbers else None

    def client(self, **headers: str) -> httpx.Client:
        """A client that nobody else is."""
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def kill(self) -> None:
        """As a loss of power would, but for the worker, which has to notice."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(data: Path, *words: str, cwd: Path | None = None, **environment: str) -> Iterator[Running]:
    """`lipsmith serve` with `words`, ended at the end."""
    words = words if "--threads" in words else ("--threads", "1", *words)
    command = [sys.executable, "-m", "lipsmith", "serve", "--port", "0", "--data", str(data), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment, cwd=cwd)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), "the service did not start"
        await_health(url)
        yield Running(process, url, data)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        assert process.stdout is not None
        process.stdout.close()


def await_health(url: str) -> None:
    """Return when the service answers."""
    for _ in range(600):
        try:
            if httpx.get(f"{url}healthz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the service never became healthy")


def send(client: httpx.Client, content: Path | bytes) -> str:
    """Upload a file and return its id."""
    content = content.read_bytes() if isinstance(content, Path) else content
    answer = client.post("/v1/uploads", files={"file": ("a name", content)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ended(client: httpx.Client, job: str, seconds: float = 120) -> dict[str, object]:
    """The job when it has ended."""
    for _ in range(round(seconds / 0.1)):
        found: dict[str, object] = client.get(f"/v1/jobs/{job}").json()
        if found["state"] not in ("queued", "running"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"the job never ended: {found}")


def found_faces(client: httpx.Client, upload: str, **stretch: float) -> httpx.Response:
    """The answer to the question for faces, when it is no longer 202."""
    for _ in range(1200):
        answer = client.get(f"/v1/uploads/{upload}/faces", params=stretch)
        if answer.status_code != 202:
            return answer
        time.sleep(0.1)
    raise AssertionError("the faces were never found")


def crowd(service: Running, content: Path, clients: int, polls: int) -> int:
    """How many errors come when so many clients upload a file at once, and ask so often for it and for their jobs."""

    def one(_: int) -> int:
        errors = 0
        with service.client() as client:
            upload = send(client, content)
            for _ in range(polls):
                for path in (f"/v1/uploads/{upload}", "/v1/jobs"):
                    errors += client.get(path).status_code != 200
                time.sleep(0.1)
        return errors

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(one, range(clients)))


def memory(service: Running) -> tuple[float, float]:
    """Resident MB of server and worker."""
    sizes = []
    for process in (service.process.pid, service.worker()):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        sizes.append(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")))
    return sizes[0], sizes[1]
