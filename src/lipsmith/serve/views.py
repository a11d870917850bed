"""What the API takes and gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lipsmith.dubbing.options import Tail
from lipsmith.dubbing.source import Fit
from lipsmith.inference.backend import Precision
from lipsmith.serve.store import Job, Store, Upload

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="as an answer named it")]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
LookState = Literal["waiting", "ready", "failed"]


class DubRequest(BaseModel):
    """A dub to make: two uploads, and the options of `lipsmith dub` by their names."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    video: Id
    speech: Id
    face: Annotated[str, Field(pattern=r"^(largest|left|right|all|[1-9]\d{0,3}(,[1-9]\d{0,3}){0,63})$")] = "largest"
    """largest, left or right of each shot, all, or numbers that `faces` gave, such as 2 or 1,4."""
    start: Seconds | None = None
    """Use the footage from this second on."""
    end: Seconds | None = None
    """Use the footage up to this second."""
    tail: Tail = "cut"
    """When the speech is over, end the film (cut) or let the footage go on (keep)."""
    fit: Fit = "bounce"
    """When the speech is longer than the footage: play the footage forward and back (bounce), again (loop), more slowly
    (stretch), hold its last frame (hold), or end both with the footage (cut)."""
    strength: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 1.0
    """How far the lips move from rest: 1 as predicted, less for calmer lips, up to 2 for livelier ones."""
    background: Id | None = None
    """An upload with music or effects, to be heard under the speech."""
    gain: Annotated[float, Field(ge=-100, le=40, allow_inf_nan=False)] = -12.0
    """Decibels by which the background is louder than in its file; below 0 it is softer."""
    side_by_side: bool = False
    """Put the source to the left of the result."""
    language: Annotated[str, Field(pattern="^[a-z]{3}$")] | None = None
    """Language of the speech in three letters (ISO 639-2), for players that name the sound."""
    label: bool = False
    """Write "synthetic" into a corner of the picture."""
    precision: Precision = "auto"
    """Numbers the renderer computes with on a CPU: float, int8, or auto, int8 where that is faster."""
    preview: Annotated[float, Field(gt=0, le=30, allow_inf_nan=False)] | None = None
    """Dub only this many seconds."""
    compare: bool = False
    """Also write the footage in step with the result, small, for `before`."""

    @model_validator(mode="after")
    def _stretch(self) -> DubRequest:
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError("the end is not after the start; choose a later end")
        return self


class UploadView(BaseModel):
    """An upload, and what was found in it once `state` is ready."""

    id: str
    bytes: int
    sha256: str
    state: LookState
    kind: Literal["film", "picture", "sound"] | None = None
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    rate: float | None = None
    sound: bool | None = None
    problem: str | None = None


class FaceView(BaseModel):
    """A face of one shot, with the number of its person.

    Sizes and places are in pixels, times in seconds; `thumbnail` is a data: address.
    """

    number: int
    shot: int
    start: float
    end: float
    frames: int
    width: int
    x: int
    y: int
    thumbnail: str | None


class FacesView(BaseModel):
    """The faces of a stretch of an upload; empty while `state` is waiting."""

    state: LookState
    progress: float
    faces: list[FaceView] = []


class SideView(BaseModel):
    """Whether the side by side of a dub is ready to be fetched."""

    state: LookState
    progress: float


class JobView(BaseModel):
    """A dub; `progress` in [0, 1] is that of its stage, `eta` in seconds that of all, times are those of Unix."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str
    progress: float
    eta: float | None
    ahead: int | None
    """Jobs that come before a queued one."""
    figures: dict[str, Any]
    problem: str | None
    video: str
    speech: str | None
    options: dict[str, Any]
    created: float
    started: float | None
    finished: float | None


def upload_view(upload: Upload, probe: Job | None) -> UploadView:
    """An upload with what looking at it gave."""
    found = probe.figures if probe else {}
    state = look_state(probe)
    problem = probe.problem if probe else None
    return UploadView(id=upload.id, bytes=upload.bytes, sha256=upload.sha256, state=state, problem=problem, **found)


def look_state(job: Job | None) -> LookState:
    """Of a `probe` or `faces`."""
    if job is None or job.state in ("queued", "running"):
        return "waiting"
    return "ready" if job.state == "done" else "failed"


def job_view(job: Job, store: Store) -> JobView:
    """A dub as its owner sees it."""
    shown = job.model_dump(include=set(JobView.model_fields) - {"ahead"})
    return JobView(**shown, ahead=store.ahead(job) if job.state == "queued" else None)
