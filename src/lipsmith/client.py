"""A client of `lipsmith serve`.

with Client("http://127.0.0.1:7860") as client:
    job = client.dub(client.upload("film.mp4"), client.upload("speech.wav"), face="left")
    for job in client.watch(job.id):
        print(job.stage, job.progress)
    client.save(job.id, "dubbed.mp4")
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from lipsmith.config import path_of
from lipsmith.errors import InputError, LipsmithError, UsageError, missing_extra
from lipsmith.files import refuse_existing, write_whole

try:
    import httpx
except ModuleNotFoundError as missing:
    raise missing_extra("The client", "serve", missing) from missing


class Job(BaseModel):
    """A dub that was requested."""

    id: str
    """Its name in requests."""
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    """Only the first two change."""
    stage: str
    """What is being done, for display."""
    progress: float
    """Of the current stage, in [0, 1]."""
    eta: float | None
    """Seconds to the end of the job; None while it is unknown."""
    figures: dict[str, Any]
    """Frames, size, speed and the like, once it is done."""
    problem: str | None
    """One sentence, if it failed."""


class Client(httpx.Client):
    """One client of a service. It sees only its own uploads and jobs; `get` and `post` reach all routes under /v1.

    Raises `InputError` if a file is rejected, `UsageError` for other invalid requests, `LipsmithError` if the service
    fails, and `httpx.TransportError` if it cannot be reached. If it responded, `__cause__` of the error is an
    `httpx.HTTPStatusError`, whose `response` has the status and, with 429, the header `Retry-After`.
    """

    def __init__(self, url: str = "http://127.0.0.1:7860", token: str | None = None) -> None:
        """Connect to the service at `url`, with its `token` if it was started with one.

        Raises `UsageError` for a `url` or a `token` that no service can have.
        """
        if not str(url).startswith(("http://", "https://")):
            raise UsageError(f"The address {url!r} is not one of a service; give one such as http://127.0.0.1:7860.")
        if token and not (token.isascii() and token.isprintable() and token == token.strip()):
            raise UsageError("The token cannot be sent in a header; use ASCII characters without spaces at the ends.")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeouts = httpx.Timeout(30, read=300)
        hooks = {"response": [_check]}
        super().__init__(base_url=httpx.URL(url).join("/v1"), headers=headers, timeout=timeouts, event_hooks=hooks)

    def upload(self, path: Path | str) -> str:
        """Upload a film, picture or speech, and return its id for `dub`."""
        try:
            file = path_of(path, "The file").open("rb")
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from error
        with file:
            return str(self.post("/uploads", files={"file": ("file", file)}).json()["id"])

    def faces(self, upload: str, start: float | None = None, end: float | None = None) -> list[dict[str, Any]]:
        """Faces between the seconds `start` and `end`, with number, shot, start, end, width, x, y and thumbnail."""
        stretch = {name: value for name, value in (("start", start), ("end", end)) if value is not None}
        while (found := self.get(f"/uploads/{upload}/faces", params=stretch)).status_code == 202:
            time.sleep(0.2)
        return list(found.json()["faces"])

    def dub(self, video: str, speech: str | Mapping[int, str], **options: Any) -> Job:  # noqa: ANN401 - see /docs
        """Request a dub of the upload `video` with the upload `speech`, or with one for each face by its number.

        `options`: those of `POST /v1/jobs`, such as `face`, `strength` and `preview`.
        """
        speeches = {"speeches": dict(speech)} if isinstance(speech, Mapping) else {"speech": speech}
        return Job(**self.post("/jobs", json={"video": video, **speeches, **options}).json())

    def jobs(self) -> list[Job]:
        """The dubs of this client, newest first."""
        return TypeAdapter(list[Job]).validate_json(self.get("/jobs").content)

    def job(self, job: str) -> Job:
        """State and progress of a dub."""
        return Job(**self.get(f"/jobs/{job}").json())

    def watch(self, job: str) -> Iterator[Job]:
        """Yield the job at each change until it has ended. Raises `InputError` if it failed."""
        with self.stream("GET", f"/jobs/{job}/events") as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield (seen := Job.model_validate_json(line[5:]))
                    if seen.state == "failed":
                        raise InputError(seen.problem or "The job failed.")

    def cancel(self, job: str) -> None:
        """Cancel a queued or running dub."""
        self.delete(f"/jobs/{job}")

    def save(self, job: str, path: Path | str, overwrite: bool = False) -> Path:
        """Download the result of a finished dub, an MP4 film, to `path`. Raises `UsageError` for a name of another
        kind, where no file can be written, or where one is and `overwrite` is false."""
        path, route = path_of(path, "The result"), f"/jobs/{job}/result"
        if path.suffix.lower() not in (".mp4", ".m4v"):
            raise UsageError(f"{path}: the result is an MP4 film; its name must end in .mp4 or .m4v.")
        refuse_existing(path, overwrite)
        with self.stream("GET", route) as response, write_whole(path, overwrite) as part, part.open("wb") as file:
            file.writelines(response.iter_bytes())
        return path


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    response.read()
    problem = response.headers.get("content-type") == "application/problem+json"
    sentence = response.json()["detail"] if problem else f"{response.url} responded with status {response.status_code}."
    client_error = InputError if response.status_code in (413, 415, 422) else UsageError
    error = (LipsmithError if response.is_server_error else client_error)(sentence)
    raise error from httpx.HTTPStatusError(sentence, request=response.request, response=response)
