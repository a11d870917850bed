"""Routes of uploads and their faces."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from lipsmith.serve.problems import Problem, responses
from lipsmith.serve.receive import Received, declared_size, receive_file
from lipsmith.serve.service import OwnerDep, Service, ServiceDep
from lipsmith.serve.sniff import looks_like_media, picture_pixels
from lipsmith.serve.store import ACTIVE, Upload, new_id
from lipsmith.serve.views import FacesView, FaceView, Id, Seconds, UploadView, analysis_state, upload_view

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post("", status_code=201, responses=responses(400, 401, 408, 413, 415, 422, 429, 507), openapi_extra=_FORM)
async def create_upload(request: Request, response: Response, service: ServiceDep, owner: OwnerDep) -> UploadView:
    """Upload a film, a picture or a speech as the multipart field `file`."""
    settings, name = service.settings, new_id()
    size = min(declared_size(request) or settings.max_upload, settings.max_upload)
    await to_thread.run_sync(service.begin_upload, owner, size)
    part = settings.upload(f"{name}.part")
    try:
        received = await receive_file(request, part, settings.max_upload, service.check_disk)
        _check_media(received, settings.max_pixels)
        sent = Upload(id=name, owner=owner, bytes=received.size, sha256=received.digest)
        upload = await to_thread.run_sync(_store, service, sent, part)
    finally:
        service.end_upload(owner)
        part.unlink(missing_ok=True)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return await to_thread.run_sync(_view, service, upload)


@router.head("/{upload}", include_in_schema=False)
@router.get("/{upload}", responses=responses(401, 404, 422))
def get_upload(upload: Id, service: ServiceDep, owner: OwnerDep) -> UploadView:
    """Properties of an upload; `state` is ready once the worker has probed it."""
    return _view(service, service.upload(upload, owner))


@router.delete("/{upload}", status_code=204, responses=responses(401, 404, 409, 422))
def delete_upload(upload: Id, service: ServiceDep, owner: OwnerDep) -> None:
    """Delete an upload that no active job or live session uses, and what live sessions prepared of it."""
    found = service.upload(upload, owner)
    in_use = Problem(409, "A job or a live session uses this upload; cancel or end it first.")
    if service.in_use(upload):
        raise in_use
    try:
        service.settings.upload(upload).unlink(missing_ok=True)  # first: a full disk has no room for the database
    except PermissionError as error:  # Windows removes no file that is being read
        raise in_use from error
    service.store.delete(uploads=[upload])
    if not service.store.holds(found.sha256):
        shutil.rmtree(service.settings.clips(found.sha256), ignore_errors=True)


@router.get(
    "/{upload}/faces",
    responses=responses(401, 404, 422, 429) | {202: {"model": FacesView, "description": "Detection is in progress"}},
)
def get_faces(
    upload: Id,
    response: Response,
    service: ServiceDep,
    owner: OwnerDep,
    start: Annotated[Seconds | None, Query()] = None,
    end: Annotated[Seconds | None, Query()] = None,
) -> FacesView:
    """Faces in a part of a film, or in a picture. 202 until detection has finished: poll.

    This also prepares that part of the film, so a dub of it starts at once.
    """
    if end is not None and end <= (start or 0):
        raise Problem(422, "end is not after start; choose a later end.")
    found = service.upload(upload, owner)
    options = {"start": start, "end": end}
    job = service.store.latest("faces", upload, options)
    if job is None or job.state == "cancelled":
        job = service.submit_analysis("faces", found, options)
        service.supervisor.notify()
    state = analysis_state(job)
    if state == "failed":
        raise Problem(422, job.problem or "No face was found; choose other footage.")
    if state == "waiting":
        response.status_code = 202
        response.headers["Retry-After"] = "1"
    views = [FaceView(**face) for face in job.figures.get("faces", [])]
    return FacesView(state=state, progress=job.progress, faces=views)


@router.delete("/{upload}/faces", status_code=204, responses=responses(401, 404, 422))
def stop_faces(
    upload: Id,
    service: ServiceDep,
    owner: OwnerDep,
    start: Annotated[Seconds | None, Query()] = None,
    end: Annotated[Seconds | None, Query()] = None,
) -> None:
    """Stop the detection of faces in a part of a film, for which nobody waits any more, unless it has finished."""
    service.upload(upload, owner)
    job = service.store.latest("faces", upload, {"start": start, "end": end})
    if job is not None and job.state in ACTIVE:
        service.store.delete(jobs=[job.id])  # which stops it, and leaves no trace of many that were stopped


def _store(service: Service, upload: Upload, part: Path) -> Upload:
    """The stored upload, or an earlier one of this client with the same content; what failed of it is tried again."""
    existing = service.store.find_upload(upload.sha256, upload.owner)
    if existing is not None and service.settings.upload(existing.id).exists():
        probe = service.store.latest("probe", existing.id, {})
        if probe is None or analysis_state(probe) == "failed":
            probe = service.submit_analysis("probe", existing, {})  # first, because it may be refused
            service.supervisor.notify()
        service.store.forget_failures(existing.id, probe.id)
        return service.upload(existing.id, upload.owner)
    path = part.replace(service.settings.upload(upload.id))
    try:
        service.submit_analysis("probe", upload, {})
        service.store.add(upload)
    except Exception:  # of any type: a full disk fails the database, too, and needs the space
        path.unlink()
        raise
    service.supervisor.notify()
    return upload


def _view(service: Service, upload: Upload) -> UploadView:
    return upload_view(upload, service.store.latest("probe", upload.id, {}))


def _check_media(received: Received, max_pixels: int) -> None:
    if not received.size:
        raise Problem(422, "The file is empty; choose another file.")
    if not looks_like_media(received.head):
        raise Problem(415, "The file is not a known film, picture or sound format; convert it to MP4, PNG or WAV.")
    if picture_pixels(received.head) > max_pixels:
        raise Problem(413, f"The picture has more than {max_pixels / 1e6:.1f} million pixels; make it smaller.")
