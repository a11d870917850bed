"""Routes of films, pictures and speeches that are sent, and of the faces in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from lipsmith.serve.problems import Problem, responses
from lipsmith.serve.receive import Received, receive_file
from lipsmith.serve.service import Service, owner_of, service_of
from lipsmith.serve.sniff import is_media, picture_pixels
from lipsmith.serve.store import Upload, new_id
from lipsmith.serve.views import FacesView, FaceView, Id, Seconds, UploadView, look_state, upload_view

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

Given = Annotated[Service, Depends(service_of)]
Owner = Annotated[str, Depends(owner_of)]

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


@router.post("", status_code=201, responses=responses(400, 401, 408, 413, 415, 429), openapi_extra=_FORM)
async def send(request: Request, response: Response, service: Given, owner: Owner) -> UploadView:
    """Send a film, a picture or a speech as the multipart field `file`; it is written to disk as it arrives."""
    settings = service.settings
    await to_thread.run_sync(service.refuse_upload, owner)
    name = new_id()
    part = settings.upload(f"{name}.part")
    try:
        received = await receive_file(request, part, settings.max_upload)
        _refuse_other_than_media(received, settings.max_pixels)
        upload = await to_thread.run_sync(_keep, service, Upload.model_validate(_row(name, owner, received)), part)
    finally:
        part.unlink(missing_ok=True)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return await to_thread.run_sync(_seen, service, upload)


@router.get("/{upload}", responses=responses(401, 404, 422))
def show(upload: Id, service: Given, owner: Owner) -> UploadView:
    """What an upload holds: `state` is ready once the worker has looked at it."""
    return _seen(service, service.upload(upload, owner))


@router.delete("/{upload}", status_code=204, responses=responses(401, 404, 409, 422))
def remove(upload: Id, service: Given, owner: Owner) -> None:
    """Remove an upload, which no job may be using."""
    service.upload(upload, owner)
    if service.store.active(upload=upload):
        raise Problem(409, "A job uses this upload; cancel it first.")
    service.store.forget(uploads=[upload])
    service.settings.upload(upload).unlink(missing_ok=True)


@router.get(
    "/{upload}/faces",
    responses=responses(401, 404, 422, 429) | {202: {"model": FacesView, "description": "Being looked for"}},
)
def faces(
    upload: Id,
    response: Response,
    service: Given,
    owner: Owner,
    start: Annotated[Seconds | None, Query()] = None,
    end: Annotated[Seconds | None, Query()] = None,
) -> FacesView:
    """Who is seen in a stretch of a film, or in a picture. 202 until they are found: ask again.

    The stretch is then prepared: a dub of the same stretch starts at once.
    """
    if end is not None and end <= (start or 0):
        raise Problem(422, "The end is not after the start; choose a later end.")
    found = service.upload(upload, owner)
    options = {"start": start, "end": end}
    job = service.store.look("faces", upload, options)
    if job is None or job.state == "cancelled":
        job = service.look("faces", found, options)
        service.supervisor.ring()
    state = look_state(job)
    if state == "failed":
        raise Problem(422, job.problem or "No face was found; choose other footage.")
    if state == "waiting":
        response.status_code = 202
        response.headers["Retry-After"] = "1"
    shown = [FaceView(**face) for face in job.figures.get("faces", [])]
    return FacesView(state=state, progress=job.progress, faces=shown)


def _row(name: str, owner: str, received: Received) -> dict[str, Any]:
    return {"id": name, "owner": owner, "bytes": received.size, "sha256": received.digest}


def _keep(service: Service, upload: Upload, part: Path) -> Upload:
    """The upload, or the one that this client sent before if it is the same file."""
    before = service.store.same_upload(upload.sha256, upload.owner)
    if before is not None and service.settings.upload(before.id).exists():
        return service.upload(before.id, upload.owner)
    path = part.replace(service.settings.upload(upload.id))
    try:
        service.look("probe", upload, {})
    except Problem:
        path.unlink()
        raise
    service.store.add(upload)
    service.supervisor.ring()
    return upload


def _seen(service: Service, upload: Upload) -> UploadView:
    return upload_view(upload, service.store.look("probe", upload.id, {}))


def _refuse_other_than_media(received: Received, max_pixels: int) -> None:
    if not received.size:
        raise Problem(400, "The file is empty; the recording or the download may have failed.")
    if not is_media(received.head):
        raise Problem(415, "The file is no film, picture or sound of a known kind; convert it to MP4, PNG or WAV.")
    if picture_pixels(received.head) > max_pixels:
        raise Problem(413, f"The picture has more than {max_pixels / 1e6:.1f} million pixels; make it smaller.")
