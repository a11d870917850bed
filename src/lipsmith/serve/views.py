"""Request and response bodies of the API."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lipsmith.dubbing.options import LEAST_GAIN, MOST_GAIN, STRONGEST, DubOptions, Tail
from lipsmith.dubbing.source import Fit
from lipsmith.inference.backend import Precision
from lipsmith.serve.store import ACTIVE, Job, State, Store, Upload

_ID: Final = r"^[0-9a-f]{32}$"
_FACES: Final = r"^(largest|left|right|all|[1-9]\d{0,3}(, ?[1-9]\d{0,3}){0,63})$"
_LANGUAGE: Final = r"^[a-z]{3}$"
IN_WORDS: Final = {
    _ID: "an id from an earlier response",
    _FACES: "largest, left, right, all, or face numbers such as 2 or 1,4",
    _LANGUAGE: "three lowercase letters such as eng",
}
"""What each pattern allows."""

Id = Annotated[str, Field(pattern=_ID, description=IN_WORDS[_ID])]
FaceNumber = Annotated[int, Field(ge=1, le=9999)]
Faces = Annotated[str, BeforeValidator(str), Field(pattern=_FACES)]
"""As text: `/faces` numbers them, so clients send such a number."""
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
AnalysisState = Literal["waiting", "ready", "failed"]


class DubRequest(BaseModel):
    """Request for a dub: a film, its speech or speeches, and the options of `lipsmith dub`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    video: Id
    speech: Id | None = None
    """The speech of the selected faces; give this or `speeches`."""
    speeches: Annotated[dict[FaceNumber, Id], Field(max_length=16)] = {}
    """The speech of each face, by its number of `/faces`; faces without a speech stay as filmed."""
    face: Faces = DubOptions.face
    """largest, left or right of each shot; all; or face numbers of `/faces`, such as 2 or 1,4."""
    start: Seconds | None = DubOptions.start
    """Start of the footage, in seconds."""
    end: Seconds | None = DubOptions.end
    """End of the footage, in seconds."""
    tail: Tail = DubOptions.tail
    """When the speech ends: end the film (cut) or keep the rest of the footage (keep)."""
    fit: Fit = DubOptions.fit
    """When the speech is longer than the footage: play the footage forward and back (bounce), repeat it (loop), slow it
    down (stretch), hold its last frame (hold), or cut the speech (cut)."""
    strength: Annotated[float, Field(ge=0, le=STRONGEST, allow_inf_nan=False)] = DubOptions.strength
    """Scale of the lip motion: 1 as predicted, less for weaker motion, up to 2 for stronger motion."""
    background: Id | None = None
    """An upload with music or effects to mix under the speech."""
    gain: Annotated[float, Field(ge=LEAST_GAIN, le=MOST_GAIN, allow_inf_nan=False)] = DubOptions.gain
    """Gain of the background in dB; below 0 it is softer than in its file."""
    side_by_side: bool = DubOptions.side_by_side
    """Show the source to the left of the result."""
    language: Annotated[str, Field(pattern=_LANGUAGE)] | None = DubOptions.language
    """Language tag of the audio track, three letters (ISO 639-2)."""
    label: bool = DubOptions.label
    """Write "synthetic" into a corner of the picture."""
    precision: Precision = DubOptions.precision
    """Precision of the renderer on a CPU: float, int8, or auto (the faster one)."""
    preview: Annotated[float, Field(gt=0, le=30, allow_inf_nan=False)] | None = None
    """Dub only the first seconds, this many."""
    compare: bool = False
    """Also provide the synchronized original footage for `/before`."""

    @model_validator(mode="after")
    def _check(self) -> DubRequest:
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError("the end is not after the start; choose a later end")
        if (self.speech is None) == (not self.speeches):
            raise ValueError("give speech, or speeches with one for each face")
        if self.background is None and self.gain != DubOptions.gain:
            raise ValueError("the gain has no background to change; give a background, or no gain")
        return self


class UploadView(BaseModel):
    """An upload; its properties are set once `state` is ready."""

    id: str
    bytes: int
    sha256: str
    state: AnalysisState
    kind: Literal["film", "picture", "sound"] | None = None
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    rate: float | None = None
    sound: bool | None = None
    problem: str | None = None


class FaceView(BaseModel):
    """A face in one shot; `number` is that of its person.

    Sizes and positions are in pixels, times in seconds; `thumbnail` is a data URL.
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
    """The faces in a part of an upload; empty while `state` is waiting."""

    state: AnalysisState
    progress: float
    faces: list[FaceView] = []


class SideView(BaseModel):
    """Whether the side-by-side film of a dub is ready."""

    state: AnalysisState
    progress: float


class JobView(BaseModel):
    """A dub; `progress` in [0, 1] of the current stage, `eta` in seconds for the whole job, Unix times."""

    id: str
    state: State
    stage: str
    progress: float
    eta: float | None
    ahead: int | None
    """Number of jobs that run before a queued job, as the queue stands."""
    figures: dict[str, Any]
    problem: str | None
    video: str
    speech: str | None
    options: dict[str, Any]
    created: float
    started: float | None
    finished: float | None


def upload_view(upload: Upload, probe: Job | None) -> UploadView:
    """The view of an upload with the result of its probe."""
    found = probe.figures if probe else {}
    state = analysis_state(probe)
    problem = probe.problem if probe else None
    return UploadView(id=upload.id, bytes=upload.bytes, sha256=upload.sha256, state=state, problem=problem, **found)


def analysis_state(job: Job | None) -> AnalysisState:
    """State of a `probe`, `faces` or `side` job."""
    if job is None or job.state in ACTIVE:
        return "waiting"
    return "ready" if job.state == "done" else "failed"


def job_view(job: Job, store: Store) -> JobView:
    """The view of a dub."""
    columns = job.model_dump(include=set(JobView.model_fields) - {"ahead"})
    return JobView(**columns, ahead=store.count_ahead(job) if job.state == "queued" else None)
