"""What the worker does for each kind of job, and what it keeps in memory from one job to the next."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsmith import Clip, Dubber, DubOptions, Result
from lipsmith.dubbing.mouth import EncodedFaces
from lipsmith.dubbing.options import choose
from lipsmith.errors import InputError
from lipsmith.face import MOST_FACES
from lipsmith.inference.backend import Backend, Precision
from lipsmith.inference.model_folder import find_model, load_backend
from lipsmith.inference.render import SIDE_BY_SIDE
from lipsmith.media import open_sound
from lipsmith.media.background import Background
from lipsmith.progress import Progress
from lipsmith.serve.comparison import join_sides, write_before
from lipsmith.serve.limits import limited_time
from lipsmith.serve.media import describe_faces, look_at
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Job, inputs_of

RESULT: Final = "result.mp4"
BEFORE: Final = "before.mp4"
SIDE: Final = "side-by-side.mp4"
_MOST: Final = 1_000_000
"""Kilobytes of prepared footage that stay in memory."""
_ENCODED: Final = 40_000
"""Kilobytes of a face's encoded references; a frame of a face takes one."""


class Reporter(Protocol):
    """What a task tells while it works."""

    def stage(self, name: str, later: float = 0.0) -> Progress:
        """Begin a stage and get its progress callback; `later` frames are still to be dubbed after it."""


@dataclass
class Prepared:
    """Footage made ready, the least recently used let go first."""

    dubber: Dubber
    _clips: OrderedDict[tuple[str, float | None, float | None], Clip] = field(default_factory=OrderedDict)

    def has(self, video: str, start: float | None, end: float | None) -> bool:
        """Whether this stretch of an upload is ready."""
        return (video, start, end) in self._clips

    def get(self, path: Path, start: float | None, end: float | None, progress: Progress) -> Clip:
        """A stretch of the upload at `path`, all its faces chosen."""
        key = (path.name, start, end)
        if key not in self._clips:
            self._clips[key] = self.dubber.prepare(path, "all", start, end, progress=progress)
        self._clips.move_to_end(key)
        while len(self._clips) > 1 and sum(map(_weight, self._clips.values())) > _MOST:
            self._clips.popitem(last=False)
        return self._clips[key]


class Tasks:
    """The work itself, by kind of job."""

    def __init__(self, settings: Settings, dubber: Dubber) -> None:
        self._settings = settings
        self._prepared = Prepared(dubber)
        # Uploads never change, and each job asks about the same ones.
        self._look = lru_cache(maxsize=256)(self._look_at)
        self._backend = lru_cache(self._load_backend)

    def run(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        """Do a job and return its figures. Raises `LipsmithError` where that cannot be."""
        tasks = {"probe": self._probe, "faces": self._faces, "dub": self._dub, "side": self._side}
        # Before it is known how long they are, files get the time of a minute.
        with limited_time(60):
            looks = [self._look(name) for name in inputs_of(job)]
        with limited_time(sum(look.get("seconds") or 0.0 for look in looks)):
            return tasks[job.kind](job, reporter)

    def _probe(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        return self._look(job.video)

    def _faces(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        clip = self._clip(job, reporter)
        return {"faces": describe_faces(self._settings.upload(job.video), clip.faces)}

    def _dub(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        began = time.monotonic()
        options, folder = _options(job), self._settings.job(job.id)
        seconds = job.options["preview"] or self._sound(job.speech).get("seconds") or 0.0
        clip = self._clip(job, reporter, later=25 * seconds)
        prepared = time.monotonic()
        clip = replace(clip, chosen=choose(clip.faces, options.face))
        if options.precision != "auto":
            backend = self._backend(options.precision)
            clip = replace(clip, backend=backend, encoded=EncodedFaces(backend, clip.encoded.store))
        result = self._result(clip, job)
        if result.timeline.end > 60 * self._settings.max_minutes + 1:
            raise InputError("The speech lasts longer than it declares, and longer than is allowed; shorten it.")
        folder.mkdir(parents=True, exist_ok=True)
        if job.options["compare"]:
            result = write_before(clip, result, folder / BEFORE)
        chosen = (True, options.side_by_side, reporter.stage("dubbing"), options.language, options.label)
        path = result.save(folder / RESULT, *chosen, self._background(job))
        return _figures(clip, result, path, prepared - began, time.monotonic() - prepared)

    def _side(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        folder = self._settings.job(job.options["job"])
        join_sides(folder / BEFORE, folder / RESULT, folder / SIDE, reporter.stage("joining"))
        return {}

    def _clip(self, job: Job, reporter: Reporter, later: float = 0.0) -> Clip:
        options, path = job.options, self._settings.upload(job.video)
        start, end = options.get("start"), options.get("end")
        if not self._prepared.has(job.video, start, end):
            info = self._look(job.video)
            if info["kind"] == "sound":
                raise InputError(f"{path} is a sound; choose a film or a picture.")
            if options.get("preview") and not options["face"][0].isdecimal():
                # Who cannot wait for the whole film gets what is seen first in it.
                end = min(end or np.inf, (start or 0.0) + options["preview"])
        return self._prepared.get(path, start, end, self._bounded(reporter.stage("faces", later)))

    def _bounded(self, progress: Progress) -> Progress:
        """Ends the reading of a film that goes on beyond the length that it declares."""
        most = self._settings.max_minutes * 60 * 240

        def told(done: int, total: int) -> None:
            if done > most:
                raise InputError("The film goes on and on; shorten it.")
            progress(done, total)

        return told

    def _load_backend(self, precision: Precision) -> Backend:
        folder, device, threads = find_model(self._settings.model), self._settings.device, self._settings.threads
        return load_backend(folder, device, threads, SIDE_BY_SIDE, precision)

    def _look_at(self, upload: str) -> dict[str, Any]:
        return look_at(self._settings.upload(upload), self._settings.max_pixels, self._settings.max_minutes)

    def _sound(self, upload: str | None) -> dict[str, Any]:
        assert upload is not None
        info = self._look(upload)
        if not info["sound"]:
            raise InputError(f"{self._settings.upload(upload)} has no sound; choose a recording.")
        return info

    def _background(self, job: Job) -> Background | None:
        upload = job.options["background"]
        return (
            Background(self._settings.upload(upload), job.options["gain"]) if upload and self._sound(upload) else None
        )

    def _result(self, clip: Clip, job: Job) -> Result:
        assert job.speech is not None
        path, options = self._settings.upload(job.speech), _options(job)
        if (preview := job.options["preview"]) is None:
            return clip.dub(path, tail=options.tail, strength=options.strength, fit=options.fit)
        sound = open_sound(path)
        first = _first(sound.blocks, round(preview * sound.rate))
        return clip.dub(first, sound.rate, strength=options.strength, fit=options.fit)


def _first(blocks: Iterable[NDArray[np.float32]], count: int) -> NDArray[np.float32]:
    """The first `count` samples `(channels, n)` of a sound."""
    kept: list[NDArray[np.float32]] = []
    missing = count
    for block in blocks:
        kept.append(block[:, :missing])
        missing -= kept[-1].shape[1]
        if missing <= 0:
            break
    if not kept:
        raise InputError("The speech has a sound track of no length; give a recording with speech.")
    return np.concatenate(kept, axis=1)


def _figures(clip: Clip, result: Result, path: Path, preparing: float, dubbing: float) -> dict[str, Any]:
    return {
        "frames": len(result),
        "seconds": round(result.timeline.end, 3),
        "width": clip.size[0],
        "height": clip.size[1],
        "faces": sorted({face.number for face in clip.chosen}),
        "bytes": path.stat().st_size,
        "preparing_seconds": round(preparing, 3),
        "dubbing_seconds": round(dubbing, 3),
        "fps": round(len(result) / max(dubbing, 1e-9), 2),
    }


def _weight(clip: Clip) -> int:
    """Kilobytes, about."""
    return sum(len(face.frames) for face in clip.faces) + _ENCODED * min(len(clip.faces), MOST_FACES)


def _options(job: Job) -> DubOptions:
    known = {field.name for field in fields(DubOptions)} - {"background"}
    return DubOptions(**{name: value for name, value in job.options.items() if name in known})
