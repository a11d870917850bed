"""Runs one dub from paths to a path: checks everything that can be checked before the work, then runs the pipeline.

A long dub is stored part by part in a hidden folder next to its result until that is complete, so that the same command
continues after any interruption:

    key.json                inputs and options of the parts, which cannot be used for any others
    faces.npz               the faces of the footage
    00000.nut, 00000.npz    an encoded part, and the state of the compositors at its end
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import av

from lipsmith import __version__
from lipsmith.config import of_kind, path_of
from lipsmith.disk import discard, disk_errors
from lipsmith.dubbing.draw import PART
from lipsmith.dubbing.options import DubOptions, end_of_scan, hear, options_for, said_in
from lipsmith.dubbing.parts import KEY, SCAN, UNFINISHED, Shown, draw_parts, is_over, is_whole, part_in, taken
from lipsmith.dubbing.pipeline import Clip, Dubber, Result
from lipsmith.dubbing.scan import Scan
from lipsmith.dubbing.scan_file import write_scan
from lipsmith.errors import UsageError, blames_inputs
from lipsmith.files import (
    HIDDEN,
    STALE,
    FileLock,
    hidden_for,
    refuse_clashes,
    refuse_existing,
    remove_stale,
    require,
    state_of,
    write_whole,
)
from lipsmith.inference.backend import Precision
from lipsmith.inference.model_folder import ModelConfig
from lipsmith.media import VideoWriter
from lipsmith.media.background import Background, open_background
from lipsmith.media.reading import require_frame
from lipsmith.media.writing import check_path
from lipsmith.models.third_party import weights_path
from lipsmith.progress import ProgressOf, unwatched
from lipsmith.speech.conversation import Conversation, Turn
from lipsmith.speech.recording import Speech

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

_OF_NO_PICTURE: Final = frozenset({"overwrite", "resume", "precision"})
"""Options that do not affect frames; the precision in use is part of the key instead."""


def dub(
    video: Path | str,
    speech: Path | str | Mapping[int, Path | str] | Sequence[Turn],
    out: Path | str,
    options: DubOptions | None = None,
    *,
    model: str | Path = "fast",
    device: str = "auto",
    threads: int | None = None,
    progress_of: ProgressOf = unwatched,
) -> Path:
    """Dub the film or picture `video` with `speech`, any file with sound; write the result to `out` and return its
    path.

    `speech` may also name a file for each face, `{1: "anna.wav", 2: "ben.wav"}`, list `Turn`s, or be a table of them, a
    CSV file with the columns start, end, face and speech; see `Clip.dub`.
    `model`, `device`, `threads`: see `Dubber.from_pretrained`. `progress_of` opens the progress of each of the two
    passes over the film by its title. If a long dub is interrupted, its finished parts stay next to `out`, and the same
    call continues after them, unless `options` say otherwise. Raises a `LipsmithError`, before the work if possible.
    """
    video, out = path_of(video, "The video"), path_of(out, "The result")
    options = of_kind(DubOptions() if options is None else options, DubOptions, "The options are", "DubOptions")
    said = said_in(speech)
    options = options_for(said, options)
    check_job(video, said, out, options)
    if options.start:  # a wrong one would be noticed after the speech is read and the model loaded
        require_frame(video, options.start, options.end)
    recording = hear(said)
    dubber = with_precision(partial(Dubber.from_pretrained, model, device, threads), [out], options)
    with Unfinished(out, key_of(video, said, options, dubber.config, dubber.precision), options.resume) as kept:
        known = kept.scan()
        with (unwatched if known else progress_of)(f"{video.name}: faces") as progress:
            end = end_of_scan(options, recording) if isinstance(recording, Speech) else options.end
            clip = dubber.prepare(video, options.face, options.start, end, progress=progress, known=known)
        return write_film(dubbed(clip, recording, options), out, options, progress_of, kept)


def dubbed(clip: Clip, recording: Speech | Conversation, options: DubOptions) -> Result:
    """`Clip.dub` with `options`."""
    return clip.dub(recording, tail=options.tail, strength=options.strength, fit=options.fit)


def write_film(result: Result, out: Path, options: DubOptions, progress_of: ProgressOf, kept: Unfinished) -> Path:
    """`Result.save` with `options`, and the scan and the parts of a long film kept."""
    kept.keep_scan(result.clip, len(result))
    with progress_of(f"{out.name}: dubbing") as progress:
        chosen = {name: getattr(options, name) for name in ("overwrite", "side_by_side", "language", "label")}
        music = Background(options.background, options.gain) if options.background else None
        parts = kept if options.resume and len(result) > PART else None
        return result.save(out, progress=progress, background=music, kept=parts, **chosen)


def check_job(video: Path, said: Path | Sequence[Turn], out: Path, options: DubOptions) -> None:
    """Raise, before any work, for missing inputs and for a result that cannot be written."""
    require(video, *files_of(said))
    check_path(out)
    if not options.overwrite:
        remove_finished(out)
    if out.parent.is_dir():
        remove_stale(out.parent)
    refuse_existing(out, options.overwrite)
    refuse_clashes([out], [video, *files_of(said), options.background])
    if options.background is not None:
        open_background(options.background)


def remove_finished(out: Path) -> None:
    """Remove the parts of a result that is complete, if a process was killed before it did."""
    folder = hidden_for(out, UNFINISHED)
    with suppress(OSError):  # a folder that cannot be read is named as that of the result
        if folder.is_dir() and is_over(folder, out):
            discard(folder, first=KEY)


def files_of(said: Path | Sequence[Turn]) -> list[Path]:
    """The files of what is said."""
    return [said] if isinstance(said, Path) else [turn.file for turn in said if turn.file]


def key_of(
    video: Path, said: Path | Sequence[Turn], options: DubOptions, model: ModelConfig, precision: Precision
) -> dict[str, Any]:
    """Everything that the frames of a dub depend on, as JSON values."""
    speeches = {f"speech {number}": file for number, file in enumerate(files_of(said))}
    inputs = {"video": video, **speeches, "background": options.background}
    manner = {f.name: getattr(options, f.name) for f in fields(DubOptions) if f.name not in {*inputs, *_OF_NO_PICTURE}}
    return {
        **surroundings(),
        "model": dict(model.files),
        "precision": precision,
        "inputs": {name: state_of(path) for name, path in inputs.items() if path},
        "turns": [] if isinstance(said, Path) else [[turn.face, turn.start, turn.end] for turn in said],
        "options": json.loads(json.dumps(manner)),
    }


def surroundings() -> dict[str, Any]:
    """What the frames depend on besides the dub itself: software and weights of this machine."""
    return {
        "versions": [__version__, av.__version__, str(av.library_versions["libavcodec"])],
        "face recognizer": "found" if weights_path("sface").is_file() else "missing",
    }


def with_precision(
    load: Callable[[Precision], T], outs: Sequence[Path], options: DubOptions, usual: Precision = "auto"
) -> T:
    """What `load` makes of the precision. If that is auto, of that of an unfinished dub of one of the results, if there
    is one and model and device have it, or else of the `usual` one."""
    if options.precision != "auto":
        return load(options.precision)
    begun = (_read_key(hidden_for(out, UNFINISHED)).get("precision") for out in (outs if options.resume else ()))
    for precision in filter(None, begun):
        with suppress(UsageError):  # the dub may have begun with another model, or on another device
            return load(precision)
    return load(usual)


def _read_key(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return cast("dict[str, Any]", json.loads((folder / KEY).read_text(encoding="utf-8")))
    return {}


class Unfinished:
    """The finished parts of a dub, in a folder next to its result `out`; a context manager.

    The folder is created when there is something to keep, and stays if the dub is interrupted or killed, or if a disk
    fails. It is removed when the result is complete or the inputs are invalid. Raises `TakenError` if another process
    is writing the same result, `LipsmithError` if the disk is full.
    """

    def __init__(self, out: Path, key: Mapping[str, Any], resume: bool) -> None:
        self._out, self._key, self._resume = out, dict(key), resume
        self._folder = hidden_for(out, UNFINISHED)
        self._part = partial(part_in, self._folder)
        self._lock: FileLock | None = None
        self._done, self._frames, self._stays = 0, math.inf, False

    def __enter__(self) -> Self:
        remove_abandoned(self._out.parent, besides=self._folder)
        if self._folder.is_dir():
            self._hold()
            if not self._resume or _read_key(self._folder) != self._key:
                if self._resume:
                    _LOG.info("%s: inputs or options have changed since the interruption; it starts over.", self._out)
                self._remove()
            self._done = next(number for number in count() if not is_whole(self._part(number)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is None:
            return
        if self._stays and error is None:
            self._release()
            return
        if error is None or blames_inputs(error) or not (self._done or self.scan()):
            self._remove()
            return
        frames = min(PART * self._done, self._frames)
        kept = f"{frames} frames are kept" if frames else "the faces that were found are kept"
        _LOG.info("%s: %s; the same command continues from there.", self._out, kept)
        self._release()

    def leave(self) -> None:
        """Keep the folder at the end, for others who draw parts of this dub before it continues."""
        self._stays = True

    def scan(self) -> Path | None:
        """The scan of an earlier run; None if there is none."""
        path = self._folder / SCAN
        return path if self._lock is not None and path.is_file() else None

    def keep_scan(self, clip: Clip, frames: int) -> None:
        """Store the scan of footage that takes long to scan, or of a result with many `frames`."""
        if self._resume and max(len(clip.times), frames) > PART and self.scan() is None:
            self._make()
            with disk_errors(self._out):
                write_scan(self._folder / SCAN, Scan(clip.times, clip.faces, clip.size))

    def parts(self, show: partial[Shown], film: partial[VideoWriter], at: list[float]) -> Iterator[tuple[Path, float]]:
        """See `Kept`."""
        self._make()
        self._frames = len(at)
        if self._done:
            finished = min(PART * self._done, self._frames)  # the film's last part is short
            _LOG.info("%s: %d frames are finished; the dub continues after them.", self._out, finished)
        begins = at[::PART]
        for number in draw_parts(self._part, range(self._done, len(begins)), show, film, at):
            self._done = number + 1
        for number, begin in enumerate(begins):
            yield self._part(number), begin

    def _make(self) -> None:
        if self._lock is not None:
            return
        with disk_errors(self._out):
            try:
                self._folder.mkdir()
            except FileExistsError:  # created since the check
                raise taken(self._out) from None
            self._hold()
            with write_whole(self._folder / KEY) as beside:
                beside.write_text(json.dumps(self._key), encoding="utf-8")

    def _hold(self) -> None:
        lock = FileLock(self._folder / "lock")
        if not lock.is_held:
            lock.close()
            raise taken(self._out)
        self._lock = lock

    def _release(self) -> None:
        assert self._lock is not None
        self._lock.close()
        self._lock = None

    def _remove(self) -> None:
        (self._folder / KEY).unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._release()


def remove_abandoned(folder: Path, besides: Path) -> None:
    """Remove the parts in `folder` that nobody continued for a week, unless a process has locked them."""
    for left in folder.glob(f"{HIDDEN}*{UNFINISHED}"):
        with suppress(OSError):  # another process may remove it meanwhile
            if left != besides and time.time() - left.stat().st_mtime > STALE:
                discard(left)
