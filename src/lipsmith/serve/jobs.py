"""Routes of dubs: create, list, follow, cancel and delete them, and download their films."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message, Receive, Scope, Send

from lipsmith.serve.problems import Problem, responses
from lipsmith.serve.service import OwnerDep, Service, ServiceDep
from lipsmith.serve.settings import Film
from lipsmith.serve.store import ACTIVE, DUB, PREVIEW, SIDE, Job
from lipsmith.serve.views import DubRequest, Id, JobView, SideView, analysis_state, job_view

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_POLL_INTERVAL: Final = 5.0
"""Seconds between reads of a job without a notification."""
_FILM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"video/mp4": {}}},
    206: {"content": {"video/mp4": {}}, "description": "A range"},
}


@router.post("", status_code=202, responses=responses(400, 401, 404, 413, 415, 422, 429))
def create_job(requested: DubRequest, response: Response, service: ServiceDep, owner: OwnerDep) -> JobView:
    """Queue a dub of one upload with the speech of another. Previews run before full dubs."""
    for _, name in _inputs(requested):
        service.upload(name, owner)
    _check_inputs(service, requested)
    job = Job(
        owner=owner,
        kind="dub",
        video=requested.video,
        speech=requested.speech,
        options=requested.model_dump(exclude={"video", "speech"}),
        priority=DUB if requested.preview is None else PREVIEW,
    )
    view = job_view(service.submit(job), service.store)
    service.supervisor.notify()
    response.headers["Location"] = f"/v1/jobs/{view.id}"
    return view


@router.head("", include_in_schema=False)
@router.get("", responses=responses(401, 422))
def list_jobs(service: ServiceDep, owner: OwnerDep, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> list[JobView]:
    """The dubs of this client, newest first."""
    return [job_view(job, service.store) for job in service.store.dubs(owner, limit)]


@router.head("/{job}", include_in_schema=False)
@router.get("/{job}", responses=responses(401, 404, 422))
def get_job(job: Id, service: ServiceDep, owner: OwnerDep) -> JobView:
    """State and progress of a dub; figures once it is done."""
    return job_view(service.dub(job, owner), service.store)


@router.delete("/{job}", status_code=202, responses=responses(401, 404, 409, 422))
def cancel_job(job: Id, service: ServiceDep, owner: OwnerDep) -> JobView:
    """Cancel a queued or running dub; a running one stops after the current frame."""
    service.dub(job, owner)
    if not service.store.cancel(job):
        raise Problem(409, "The job has ended; delete its result instead.")
    service.supervisor.notify()
    return get_job(job, service, owner)


@router.get("/{job}/events", responses=responses(401, 404, 422), response_class=EventSourceResponse)
async def stream_events(job: Id, service: ServiceDep, owner: OwnerDep) -> EventSourceResponse:
    """Server-sent events named `job`, one for each change, until the job has ended."""
    await to_thread.run_sync(service.dub, job, owner)
    return EventSourceResponse(_events(job, service, owner))


@router.head("/{job}/result", include_in_schema=False)
@router.get("/{job}/result", responses=_FILM_RESPONSES | responses(401, 404, 409, 422))
def get_result(job: Id, service: ServiceDep, owner: OwnerDep) -> FileResponse:
    """The dubbed film; supports range requests."""
    return _film_response(service, service.dub(job, owner), "result")


@router.head("/{job}/before", include_in_schema=False)
@router.get("/{job}/before", responses=_FILM_RESPONSES | responses(401, 404, 409, 422))
def get_before(job: Id, service: ServiceDep, owner: OwnerDep) -> FileResponse:
    """The synchronized original footage of a job with `compare`: the upload if browsers can play it and the dub starts
    at its first frame, which may be longer than the result; otherwise a film of at most 640 pixels wide and high."""
    return _film_response(service, service.dub(job, owner), "before")


@router.post("/{job}/side-by-side", responses=responses(401, 404, 409, 422, 429))
def create_side_by_side(job: Id, service: ServiceDep, owner: OwnerDep) -> SideView:
    """Create the side-by-side film of a job with `compare`; download it once `state` is ready.

    422 if this failed; the next request tries again.
    """
    _film(service, service.dub(job, owner), "before")  # its left half, which only `compare` writes
    side = service.store.latest("side", job, {})
    if side is not None and analysis_state(side) == "failed":
        service.store.delete(jobs=[side.id])
        raise Problem(422, side.problem or "The film could not be created; try again.")
    if side is None:
        side = service.submit(Job(owner=owner, kind="side", video=job, priority=SIDE))
        service.supervisor.notify()
    return SideView(state=analysis_state(side), progress=side.progress)


@router.head("/{job}/side-by-side", include_in_schema=False)
@router.get("/{job}/side-by-side", responses=_FILM_RESPONSES | responses(401, 404, 409, 422))
def get_side_by_side(job: Id, service: ServiceDep, owner: OwnerDep) -> FileResponse:
    """The side-by-side film; create it first with POST."""
    found, side = service.dub(job, owner), service.store.latest("side", job, {})
    if side is not None and side.state in ACTIVE:
        raise Problem(409, "The film is being created; wait until it is ready.")
    return _film_response(service, found, "side-by-side")


@router.delete("/{job}/result", status_code=204, responses=responses(401, 404, 409, 422))
def delete_job(job: Id, service: ServiceDep, owner: OwnerDep) -> None:
    """Delete a job that has ended, and its films."""
    if service.dub(job, owner).state in ACTIVE:
        raise Problem(409, "The job is still active; cancel it first.")
    shutil.rmtree(service.settings.job(job), ignore_errors=True)  # first: a full disk has no room for the database
    service.store.delete(jobs=[job])


async def _events(job: str, service: Service, owner: str) -> AsyncIterator[ServerSentEvent]:
    before = None
    while before is None or before.state in ACTIVE:
        changed = service.supervisor.changed
        try:
            view = await to_thread.run_sync(get_job, job, service, owner)
        except Problem:  # the job expired
            return
        if view != before:
            yield ServerSentEvent(view.model_dump_json(), event="job")
        before = view
        if view.state in ACTIVE:
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _POLL_INTERVAL)


def _inputs(requested: DubRequest) -> list[tuple[str, str]]:
    """The uploads of a request, each with the name of its field."""
    single = [(name, getattr(requested, name)) for name in ("video", "speech", "background")]
    return [(name, upload) for name, upload in single if upload] + [
        (f"speeches: {face}", upload) for face, upload in requested.speeches.items()
    ]


def _check_inputs(service: Service, requested: DubRequest) -> None:
    """Raise `Problem` 422 for uploads that were probed and do not fit their role."""
    for name, upload in _inputs(requested):
        probe = service.store.latest("probe", upload, {})
        if probe is not None and probe.state == "failed":
            raise Problem(422, f"{name}: {probe.problem}")
        found = probe.figures if probe else {}
        if name == "video" and found.get("kind") == "sound":
            raise Problem(422, "video: The file contains only sound; choose a film or a picture.")
        if name != "video" and found.get("sound") is False:
            raise Problem(422, f"{name}: The file has no sound; choose a recording.")


class _FilmResponse(FileResponse):
    """A film with range requests; an invalid range is answered with a problem document."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_checked(message: Message) -> None:
            if message.get("status", 200) >= 400:
                size = Path(self.path).stat().st_size
                sentence = f"The film has {size} bytes; request a range within them."
                raise Problem(message["status"], sentence, Content_Range=f"bytes */{size}")
            await send(message)

        await super().__call__(scope, receive, send_checked)


def _film(service: Service, job: Job, name: Film) -> Path:
    """A film of a job. Raises `Problem` 409 if the job is not done, 404 if there is no such film."""
    if job.state != "done":
        remedy = "wait until it is done" if job.state in ACTIVE else "request the dub again"
        raise Problem(409, f"The job is {job.state} and has no result; {remedy}.")
    path = service.settings.film(job.id, name)
    if not path.is_file():
        remedy = "create it first with POST" if name == "side-by-side" else "dub again with compare"
        raise Problem(404, f"The job has no such film; {remedy}.")
    return path


def _film_response(service: Service, job: Job, name: Film) -> FileResponse:
    path = _film(service, job, name)
    filename = f"{name}-{job.id[:8]}.mp4"
    return _FilmResponse(path, media_type="video/mp4", filename=filename, content_disposition_type="inline")
