"""A client of `lipsmith serve`.

with Client("http://127.0.0.1:7860") as client:
    job = client.dub(client.upload("film.mp4"), client.upload("speech.wav"), face="left")
    for job in client.watch(job.id):
        print(job.stage, job.progress)
    client.save(job.id, "dubbed.mp4")
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel, TypeAdapter

from lipsmith.errors import InputError, LipsmithError, UsageError
from lipsmith.files import write_whole


class Job(BaseModel):
    """A dub: `progress` in [0, 1] of its stage, `eta` in seconds, `figures` once it is done."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str
    progress: float
    eta: float | None
    figures: dict[str, Any]
    problem: str | None


class Client(httpx.Client):
    """One client of a service, which sees its own uploads and jobs only; `get` and `post` reach all routes of /v1.

    Raises `InputError` where a file is at fault, `UsageError` for other requests, `LipsmithError` where the service is,
    and `httpx.TransportError` where it cannot be reached.
    """

    def __init__(self, url: str = "http://127.0.0.1:7860", token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        patience = httpx.Timeout(30, read=300)
        hooks = {"response": [_check]}
        super().__init__(base_url=httpx.URL(url).join("/v1"), headers=headers, timeout=patience, event_hooks=hooks)

    def upload(self, path: Path | str) -> str:
        """Send a film, picture or speech; returns the id that `dub` takes."""
        with Path(path).open("rb") as file:
            return str(self.post("/uploads", files={"file": ("file", file)}).json()["id"])

    def faces(self, upload: str, **stretch: float) -> list[dict[str, Any]]:
        """Who is seen between the seconds `start` and `end`: number, shot, start, end, width, x, y and thumbnail."""
        while (found := self.get(f"/uploads/{upload}/faces", params=stretch)).status_code == 202:
            time.sleep(0.2)
        return list(found.json()["faces"])

    def dub(self, video: str, speech: str, **options: Any) -> Job:  # noqa: ANN401 - as `lipsmith dub` and /docs name them
        """Ask for a dub of two uploads."""
        return Job(**self.post("/jobs", json={"video": video, "speech": speech, **options}).json())

    def jobs(self) -> list[Job]:
        """The dubs of this client, newest first."""
        return TypeAdapter(list[Job]).validate_json(self.get("/jobs").content)

    def job(self, job: str) -> Job:
        """How far a dub is."""
        return Job(**self.get(f"/jobs/{job}").json())

    def watch(self, job: str) -> Iterator[Job]:
        """The job whenever it changes, until it has ended. Raises `InputError` where it failed."""
        with self.stream("GET", f"/jobs/{job}/events", timeout=None) as answer:
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield (seen := Job.model_validate_json(line[5:]))
                    if seen.state == "failed":
                        raise InputError(seen.problem or "The job failed.")

    def cancel(self, job: str) -> None:
        """End a dub that waits or runs."""
        self.delete(f"/jobs/{job}")

    def save(self, job: str, path: Path | str) -> Path:
        """Write the result of a dub that is done to `path`."""
        route = f"/jobs/{job}/result"
        with self.stream("GET", route) as answer, write_whole(Path(path)) as beside, beside.open("wb") as file:
            file.writelines(answer.iter_bytes())
        return Path(path)


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    answer.read()
    problem = answer.headers.get("content-type") == "application/problem+json"
    sentence = answer.json()["detail"] if problem else f"{answer.url} answered {answer.status_code}."
    at_fault = InputError if answer.status_code in (413, 415, 422) else UsageError
    raise (LipsmithError if answer.is_server_error else at_fault)(sentence)
