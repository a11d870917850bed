"""A client of `lipsmith serve`.

with Client("http://127.0.0.1:7860") as client:
    job = client.dub(client.upload("film.mp4"), client.upload("speech.wav"), face="left")
    for job in client.watch(job.id):
        print(job.stage, job.progress)
    client.save(job.id, "dubbed.mp4")
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import httpx

from lipsmith.errors import InputError, LipsmithError, UsageError
from lipsmith.files import write_whole


@dataclass(frozen=True)
class Job:
    """A dub: `progress` in [0, 1] of its stage, `eta` in seconds, `figures` once it is done."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str
    progress: float
    eta: float | None
    figures: dict[str, Any]
    problem: str | None


class Client:
    """One client of a service: it sees its own uploads and jobs only, and those of no other `Client`."""

    def __init__(self, url: str = "http://127.0.0.1:7860", token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(30, read=300))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def upload(self, path: Path | str) -> str:
        """Send a film, picture or speech; returns the id that `dub` takes."""
        with Path(path).open("rb") as file:
            return str(self._ask("POST", "/v1/uploads", files={"file": ("file", file)})["id"])

    def faces(self, upload: str, start: float | None = None, end: float | None = None) -> list[dict[str, Any]]:
        """Who is seen in a stretch of an upload: dicts with number, shot, start, end, width, x, y and thumbnail."""
        stretch = {name: value for name, value in (("start", start), ("end", end)) if value is not None}
        while (found := self._ask("GET", f"/v1/uploads/{upload}/faces", params=stretch))["state"] == "waiting":
            time.sleep(0.2)
        return list(found["faces"])

    def dub(self, video: str, speech: str, **options: Any) -> Job:  # noqa: ANN401 - as `lipsmith dub` and /docs name them
        """Ask for a dub of two uploads."""
        return _job(self._ask("POST", "/v1/jobs", json={"video": video, "speech": speech, **options}))

    def jobs(self) -> list[Job]:
        """The dubs of this client, newest first."""
        return [_job(found) for found in self._ask("GET", "/v1/jobs")]

    def job(self, job: str) -> Job:
        """How far a dub is."""
        return _job(self._ask("GET", f"/v1/jobs/{job}"))

    def watch(self, job: str) -> Iterator[Job]:
        """The job whenever it changes, until it has ended. Raises `InputError` where it failed."""
        with self._http.stream("GET", f"/v1/jobs/{job}/events", timeout=None) as answer:
            _check(answer)
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    seen = _job(json.loads(line[5:]))
                    yield seen
                    if seen.state == "failed":
                        raise InputError(seen.problem or "The job failed.")

    def cancel(self, job: str) -> None:
        """End a dub that waits or runs."""
        self._ask("DELETE", f"/v1/jobs/{job}")

    def save(self, job: str, path: Path | str) -> Path:
        """Write the result of a dub that is done to `path`."""
        with write_whole(Path(path)) as beside, self._http.stream("GET", f"/v1/jobs/{job}/result") as answer:
            _check(answer)
            with beside.open("wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)
        return Path(path)

    def _ask(self, method: str, path: str, **content: Any) -> Any:  # noqa: ANN401 - httpx's, and JSON
        answer = self._http.request(method, path, **content)
        _check(answer)
        return answer.json()


def _check(answer: httpx.Response) -> None:
    """Raise for an error: `InputError` where a file is at fault, `UsageError` for other requests."""
    if answer.is_success:
        return
    answer.read()
    problem = answer.headers.get("content-type") == "application/problem+json"
    sentence = answer.json()["detail"] if problem else f"{answer.url} answered {answer.status_code}."
    if answer.is_server_error:
        raise LipsmithError(sentence)
    raise (InputError if answer.status_code in (413, 415, 422) else UsageError)(sentence)


def _job(found: dict[str, Any]) -> Job:
    return Job(**{field.name: found[field.name] for field in fields(Job)})
