"""The task of the worker for each kind of job, and its cache of clips."""

from __future__ import annotations

import shutil
import time
from collections import OrderedDict
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from lipsmith import Clip, Dubber, DubOptions, Result, Turn
from lipsmith.dubbing.encoded import EncodedFaces
from lipsmith.dubbing.options import FACE_WORDS, choose
from lipsmith.errors import InputError, LipsmithError
from lipsmith.face import MOST_FACES
from lipsmith.inference.backend import Backend, Precision
from lipsmith.inference.model_folder import find_model, load_backend
from lipsmith.media import open_sound, probe
from lipsmith.media.background import Background
from lipsmith.media.sound import until
from lipsmith.progress import Progress
from lipsmith.serve.comparison import join_sides, write_before
from lipsmith.serve.limits import limit_cpu_time
from lipsmith.serve.media import describe_faces, inspect
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Job, inputs_of, speeches_of
from lipsmith.speech.recording import Speech, speaking

_MAX_KB: Final = 1_000_000
"""Kilobytes of clips in the cache."""
_TOO_LONG: Final = "The {} is longer than its header declares and than the service allows; shorten it."
_ENCODED_KB: Final = 40_000
"""Kilobytes of one face's encoded references, next to about one per frame of the face."""


class Reporter(Protocol):
    """Receives the progress of a task."""

    def stage(self, name: str, later: float = 0.0) -> Progress:
        """Begin a stage and return its progress callback; `later`: frames to dub after this stage."""


@dataclass
class ClipCache:
    """Clips; the least recently used are evicted first."""

    dubber: Dubber
    _clips: OrderedDict[tuple[str, float | None, float | None], Clip] = field(default_factory=OrderedDict)

    def has(self, video: str, start: float | None, end: float | None) -> bool:
        """Whether this part of an upload is in the cache."""
        return (video, start, end) in self._clips

    def get(self, path: Path, start: float | None, end: float | None, progress: Progress) -> Clip:
        """The clip of a part of the upload at `path`, with all its faces selected; prepares it if needed."""
        key = (path.name, start, end)
        if key not in self._clips:
            self._clips[key] = self.dubber.prepare(path, "all", start, end, progress=progress)
        self._clips.move_to_end(key)
        while len(self._clips) > 1 and sum(map(_size_kb, self._clips.values())) > _MAX_KB:
            self._clips.popitem(last=False)
        return self._clips[key]


class Tasks:
    """Runs a job of any kind."""

    def __init__(self, settings: Settings, dubber: Dubber) -> None:
        self._settings = settings
        self._cache = ClipCache(dubber)
        # Uploads never change, and every job probes the same ones.
        self._probe_upload = lru_cache(maxsize=256)(self._inspect)
        self._backend = lru_cache(self._load_backend)

    def run(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        """Run a job and return its figures. Raises `LipsmithError` if it fails."""
        tasks = {"probe": self._probe, "faces": self._faces, "dub": self._dub, "side": self._side}
        # The length of a file is unknown until it is probed; probing gets the time limit of one minute of media.
        with limit_cpu_time(60):
            probes = [self._probe_upload(name) for name in inputs_of(job)]
        with limit_cpu_time(sum(found.get("seconds") or 0.0 for found in probes)):
            return tasks[job.kind](job, reporter)

    def _probe(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        return self._probe_upload(job.video)

    def _faces(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        clip = self._clip(job, reporter)
        return {"faces": describe_faces(self._settings.upload(job.video), clip.faces, clip.times)}

    def _dub(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        seconds = job.options["preview"] or self._seconds(job)
        # The speech may be longer than its file declares, or than the pictures beside it.
        with limit_cpu_time((self._probe_upload(job.video).get("seconds") or 0.0) + seconds):
            return self._write_dub(job, reporter, seconds)

    def _write_dub(self, job: Job, reporter: Reporter, seconds: float) -> dict[str, Any]:
        """Prepare and write a dub; `seconds`: of the speech."""
        started, options = time.monotonic(), _options(job)
        clip = self._clip(job, reporter, later=25 * seconds)
        prepared = time.monotonic()
        clip = replace(clip, chosen=choose(clip.faces, options.face))
        if options.precision != "auto":
            backend = self._backend(options.precision)
            clip = replace(clip, backend=backend, encoded=EncodedFaces(backend, clip.encoded.most))
        result = self._result(clip, job)
        if result.timeline.end > 60 * self._settings.max_minutes + 1:
            raise InputError(_TOO_LONG.format("film"))  # its end follows that of the speech
        self._settings.job(job.id).mkdir(parents=True, exist_ok=True)
        if job.options["compare"]:
            result = write_before(clip, result, self._settings.film(job.id, "before"))
        path = result.save(
            self._settings.film(job.id, "result"),
            overwrite=True,
            side_by_side=options.side_by_side,
            progress=self._sparing(reporter.stage("dubbing")),
            language=options.language,
            label=options.label,
            background=self._background(job),
        )
        return _figures(result, path, prepared - started, time.monotonic() - prepared)

    def _side(self, job: Job, reporter: Reporter) -> dict[str, Any]:
        film = partial(self._settings.film, job.video)
        with limit_cpu_time(probe(film("result")).duration or 0.0):
            progress = self._sparing(reporter.stage("joining"))
            join_sides(film("before"), film("result"), film("side-by-side"), progress)
        return {}

    def _clip(self, job: Job, reporter: Reporter, later: float = 0.0) -> Clip:
        options, path = job.options, self._settings.upload(job.video)
        start, end = options.get("start"), options.get("end")
        if not self._cache.has(job.video, start, end):
            info = self._probe_upload(job.video)
            if info["kind"] == "sound":
                raise InputError(f"{path} is a sound; choose a film or a picture.")
            if options.get("preview") and options["face"] in FACE_WORDS and not speeches_of(job):
                # A preview prepares only the start of the footage, unless a face number needs all of it.
                end = min(end or np.inf, (start or 0.0) + options["preview"])
        return self._cache.get(path, start, end, self._limited(reporter.stage("faces", later)))

    def _limited(self, progress: Progress) -> Progress:
        """A callback that stops reading a film far longer than its header declares."""
        limit = self._settings.max_minutes * 60 * 240

        def on_progress(done: int, total: int) -> None:
            if done > limit:
                raise InputError(_TOO_LONG.format("film"))
            progress(done, total)

        return on_progress

    def _sparing(self, progress: Progress) -> Progress:
        """A callback that stops writing a film before the disk has no room for the database."""

        def on_progress(done: int, total: int) -> None:
            if shutil.disk_usage(self._settings.data).free < self._settings.spare_disk:
                raise LipsmithError("The disk is nearly full; try again when older results have expired.")
            progress(done, total)

        return on_progress

    def _load_backend(self, precision: Precision) -> Backend:
        folder, device, threads = find_model(self._settings.model), self._settings.device, self._settings.threads
        return load_backend(folder, device, threads, precision)

    def _inspect(self, upload: str) -> dict[str, Any]:
        return inspect(self._settings.upload(upload), self._settings.max_pixels, self._settings.max_minutes)

    def _require_sound(self, upload: str) -> None:
        if not self._probe_upload(upload)["sound"]:
            raise InputError(f"{self._settings.upload(upload)} has no sound; choose a recording.")

    def _background(self, job: Job) -> Background | None:
        upload = job.options["background"]
        if not upload:
            return None
        self._require_sound(upload)
        return Background(self._settings.upload(upload), job.options["gain"])

    def _seconds(self, job: Job) -> float:
        """Seconds of the speech, or of the longest one."""
        uploads = [*speeches_of(job).values()] if job.speech is None else [job.speech]
        return max(self._length(upload) for upload in uploads)

    def _length(self, upload: str) -> float:
        """Seconds of a speech, counted, because its header may declare fewer. Raises `InputError` beyond the limit,
        before hours of speech are worked on."""
        self._require_sound(upload)
        sound, samples = open_sound(self._settings.upload(upload), whole=True), 0
        for block in sound.blocks:
            samples += block.shape[1]
            if samples > (60 * self._settings.max_minutes + 1) * sound.rate:
                raise InputError(_TOO_LONG.format("speech"))
        return samples / sound.rate

    def _result(self, clip: Clip, job: Job) -> Result:
        options, preview = _options(job), job.options["preview"]
        tail = options.tail if preview is None else "cut"
        dub = partial(clip.dub, tail=tail, strength=options.strength, fit=options.fit)
        if speeches := speeches_of(job):
            return dub([Turn(face, self._settings.upload(name), end=preview) for face, name in speeches.items()])
        assert job.speech is not None
        path = self._settings.upload(job.speech)
        if preview is None:
            return dub(path)
        sound = until(open_sound(path, whole=True), preview)
        blocks = list(sound.blocks)
        if not blocks:
            raise InputError("The audio track of the speech is empty; choose a recording with speech.")
        return dub(np.concatenate(blocks, axis=1), sound.rate)


def _figures(result: Result, path: Path, preparing: float, dubbing: float) -> dict[str, Any]:
    written = probe(path)  # sides may be even, or those of two pictures
    voices = [result.speech] if isinstance(result.speech, Speech) else result.speech.voices.values()
    return {
        "frames": len(result),
        "seconds": round(result.timeline.end, 3),
        "width": written.width,
        "height": written.height,
        "speech": any(speaking(voice.voicing, result.timeline.times).any() for voice in voices),
        "faces": sorted({mouth.face.number for mouth in result.mouths}),
        "bytes": path.stat().st_size,
        "preparing_seconds": round(preparing, 3),
        "dubbing_seconds": round(dubbing, 3),
        "fps": round(len(result) / max(dubbing, 1e-9), 2),
    }


def _size_kb(clip: Clip) -> int:
    """Approximate size of a clip in kilobytes."""
    return sum(len(face.frames) for face in clip.faces) + _ENCODED_KB * min(len(clip.faces), MOST_FACES)


def _options(job: Job) -> DubOptions:
    of_upload = {"background", "gain"}  # see `Tasks._background`
    known = {field.name for field in fields(DubOptions)} - of_upload
    return DubOptions(**{name: value for name, value in job.options.items() if name in known})
