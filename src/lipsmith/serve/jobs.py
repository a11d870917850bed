"""Routes of dubs: asking for one, watching it, ending it, and its films."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message, Receive, Scope, Send

from lipsmith.serve.problems import Problem, responses
from lipsmith.serve.service import Service, owner_of, service_of
from lipsmith.serve.store import ACTIVE, DUB, PREVIEW, SIDE, Job
from lipsmith.serve.views import DubRequest, Id, JobView, SideView, job_view, look_state

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Given = Annotated[Service, Depends(service_of)]
Owner = Annotated[str, Depends(owner_of)]

_PATIENCE: Final = 5.0
"""Seconds after which a job is looked at though nobody told that it changed."""
_FILMS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"video/mp4": {}}},
    206: {"content": {"video/mp4": {}}, "description": "A range"},
}


@router.post("", status_code=202, responses=responses(400, 401, 404, 413, 415, 422, 429))
def ask(request: Request, wanted: DubRequest, response: Response, service: Given, owner: Owner) -> JobView:
    """Let the worker dub an upload with another; it waits its turn, a preview the shorter one."""
    for name in filter(None, (wanted.video, wanted.speech, wanted.background)):
        service.upload(name, owner)
    _refuse_unfit(service, wanted)
    job = Job(
        owner=owner,
        kind="dub",
        video=wanted.video,
        speech=wanted.speech,
        options=wanted.model_dump(exclude={"video", "speech"}),
        priority=DUB if wanted.preview is None else PREVIEW,
    )
    view = job_view(service.submit(job), service.store)
    service.supervisor.ring()
    response.headers["Location"] = f"/v1/jobs/{view.id}"
    return view


@router.get("", responses=responses(401))
def mine(service: Given, owner: Owner, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> list[JobView]:
    """The dubs of this client, newest first."""
    return [job_view(job, service.store) for job in service.store.dubs(owner, limit)]


@router.get("/{job}", responses=responses(401, 404, 422))
def show(job: Id, service: Given, owner: Owner) -> JobView:
    """How far a dub is, and its figures once it is done."""
    return job_view(service.dub(job, owner), service.store)


@router.delete("/{job}", status_code=202, responses=responses(401, 404, 409, 422))
def cancel(job: Id, service: Given, owner: Owner) -> JobView:
    """Cancel a dub that waits or runs; one that runs ends with the frame that it is at."""
    service.dub(job, owner)
    if not service.store.cancel(job):
        raise Problem(409, "The job has ended; remove its result instead.")
    service.supervisor.ring()
    return show(job, service, owner)


@router.get("/{job}/events", responses=responses(401, 404, 422), response_class=EventSourceResponse)
async def events(job: Id, service: Given, owner: Owner) -> EventSourceResponse:
    """The job as server-sent events, `job` whenever it changes, until it has ended."""
    await to_thread.run_sync(service.dub, job, owner)
    return EventSourceResponse(_changes(job, service, owner))


@router.head("/{job}/result", include_in_schema=False)
@router.get("/{job}/result", responses=_FILMS | responses(401, 404, 409, 422))
def result(job: Id, service: Given, owner: Owner) -> FileResponse:
    """The dubbed film; ranges are served."""
    return _film(service, service.dub(job, owner), "result")


@router.head("/{job}/before", include_in_schema=False)
@router.get("/{job}/before", responses=_FILMS | responses(401, 404, 409, 422))
def before(job: Id, service: Given, owner: Owner) -> FileResponse:
    """The footage in step with the result, at most 640 pixels wide and high, of a job with `compare`."""
    return _film(service, service.dub(job, owner), "before")


@router.post("/{job}/side-by-side", responses=responses(401, 404, 409, 422, 429))
def join(job: Id, service: Given, owner: Owner) -> SideView:
    """Put the footage and the dub of a job with `compare` beside each other; fetch the film once `state` is ready."""
    dub = service.dub(job, owner)
    _film(service, dub, "before")
    options = {"job": job}
    joining = service.store.look("side", dub.video, options)
    if joining is None or joining.state in ("failed", "cancelled"):
        side = Job(owner=owner, kind="side", video=dub.video, options=options, priority=SIDE)
        joining = service.submit(side)
        service.supervisor.ring()
    return SideView(state=look_state(joining), progress=joining.progress)


@router.head("/{job}/side-by-side", include_in_schema=False)
@router.get("/{job}/side-by-side", responses=_FILMS | responses(401, 404, 409, 422))
def side_by_side(job: Id, service: Given, owner: Owner) -> FileResponse:
    """The footage and the dub beside each other, once that was made."""
    return _film(service, service.dub(job, owner), "side-by-side")


@router.delete("/{job}/result", status_code=204, responses=responses(401, 404, 409, 422))
def remove(job: Id, service: Given, owner: Owner) -> None:
    """Remove a job that has ended, and its films."""
    if service.dub(job, owner).state in ACTIVE:
        raise Problem(409, "The job has not ended; cancel it first.")
    service.store.forget(jobs=[job])
    shutil.rmtree(service.settings.job(job), ignore_errors=True)


async def _changes(job: str, service: Service, owner: str) -> AsyncIterator[ServerSentEvent]:
    before = None
    while before is None or before.state in ACTIVE:
        changed = service.supervisor.changed
        try:
            view = await to_thread.run_sync(show, job, service, owner)
        except Problem:  # it expired
            return
        if view != before:
            yield _event(view)
        before = view
        if view.state in ACTIVE:
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _PATIENCE)


def _event(view: JobView) -> ServerSentEvent:
    return ServerSentEvent(view.model_dump_json(), event="job")


def _refuse_unfit(service: Service, wanted: DubRequest) -> None:
    """Raise `Problem` 422 for uploads of which it is known already that they cannot serve."""
    for name in ("video", "speech", "background"):
        probe = service.store.look("probe", upload, {}) if (upload := getattr(wanted, name)) else None
        if probe is not None and probe.state == "failed":
            raise Problem(422, f"{name}: {probe.problem}")
        found = probe.figures if probe else {}
        if name == "video" and found.get("kind") == "sound":
            raise Problem(422, "video: This is a sound; choose a film or a picture.")
        if name != "video" and found.get("sound") is False:
            raise Problem(422, f"{name}: This has no sound; choose a recording.")


class _Film(FileResponse):
    """A film in ranges; of one that it does not have it is told as of all errors."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def checked(message: Message) -> None:
            if message.get("status", 200) >= 400:
                size = Path(self.path).stat().st_size
                sentence = f"The film has {size} bytes; ask for some of them."
                raise Problem(message["status"], sentence, Content_Range=f"bytes */{size}")
            await send(message)

        await super().__call__(scope, receive, checked)


def _film(service: Service, job: Job, name: str) -> FileResponse:
    if job.state != "done":
        raise Problem(409, f"The job is {job.state} and has no result; ask for its state.")
    path = service.settings.job(job.id) / f"{name}.mp4"
    if not path.is_file():
        raise Problem(404, "There is no such film of this job; ask for it first.")
    filename = f"{name}-{job.id[:8]}.mp4"
    return _Film(path, media_type="video/mp4", filename=filename, content_disposition_type="inline")
