"""One dub from paths to a path: what can be known before any work, then the pipeline as the options ask.

A long dub is kept part by part in a hidden folder beside its result until that is whole, so that the same command goes
on where it was stopped, by whatever:

    key.json                what the parts are made of; parts of anything else are of no use
    scan.npz                the faces of the footage
    00000.nut, 00000.npz    a part, encoded, and what the compositors remember at its end
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import fields
from functools import partial
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import av
import numpy as np

from lipsmith import __version__
from lipsmith.dubbing.mouth import PART, Memories, Shown
from lipsmith.dubbing.options import DubOptions
from lipsmith.dubbing.paste.composite import Memory
from lipsmith.dubbing.pipeline import Clip, Dubber
from lipsmith.dubbing.scan import Scan, write_scan
from lipsmith.errors import InputError, LipsmithError, UsageError, WeightsError
from lipsmith.files import (
    HIDDEN,
    discard,
    hidden_for,
    hold,
    refuse_existing,
    refuse_input,
    remove_stale,
    require,
    write_whole,
)
from lipsmith.inference.backend import Precision
from lipsmith.media import VideoWriter, open_sound
from lipsmith.media.background import Background
from lipsmith.media.writing import CONTAINERS
from lipsmith.progress import ProgressOf, unwatched
from lipsmith.speech.recording import Speech, load_speech

_LOG = logging.getLogger(__name__)

UNFINISHED: Final = ".unfinished"
_STALE: Final = 7 * 86_400.0
"""Seconds after which nobody goes on with an unfinished dub."""
_OF_NO_PICTURE: Final = frozenset({"overwrite", "resume", "precision"})
"""Options on which no frame depends; of the precision, what was taken counts."""


def dub(
    video: Path | str,
    speech: Path | str,
    out: Path | str,
    options: DubOptions | None = None,
    *,
    model: str | Path = "fast",
    device: str = "auto",
    threads: int | None = None,
    progress_of: ProgressOf = unwatched,
) -> Path:
    """Write to `out` the film or picture `video` saying `speech`, any file with sound, and return the path.

    `model`, `device`, `threads`: see `Dubber.from_pretrained`. `progress_of` opens the progress of each of the two
    passes over the film by its title. Of a long dub that is interrupted, what is done stays beside `out`, and the same
    call goes on with it, unless `options` say otherwise.
    Raises a `LipsmithError`, before any long work where it can be known.
    """
    options, video, speech, out = options or DubOptions(), Path(video), Path(speech), Path(out)
    check_job(video, speech, out, options)
    recording = load_speech(speech)
    dubber = Dubber.from_pretrained(model, device, threads, precision_for([out], options))
    with Unfinished(out, key_of(video, speech, options, dubber), options.resume) as kept:
        known = kept.scan()
        with (unwatched if known else progress_of)(f"{video.name}: faces") as progress:
            clip = dubber.prepare(video, options.face, options.start, options.end, progress=progress, known=known)
        return write_film(clip, recording, out, options, progress_of, kept)


def write_film(
    clip: Clip, recording: Speech, out: Path, options: DubOptions, progress_of: ProgressOf, kept: Unfinished
) -> Path:
    """`Clip.dub` and `Result.save` as `options` ask."""
    result = clip.dub(recording, tail=options.tail, strength=options.strength, fit=options.fit)
    kept.keep_scan(clip, len(result))
    with progress_of(f"{out.name}: dubbing") as progress:
        background = Background(options.background, options.gain) if options.background else None
        chosen = (options.overwrite, options.side_by_side, progress, options.language, options.label)
        return result.save(out, *chosen, background, kept if options.resume and len(result) > PART else None)


def check_job(video: Path, speech: Path, out: Path, options: DubOptions) -> None:
    """Raise before any work for inputs that are not there and a result that could not be put where it belongs."""
    require(video, speech)
    if out.suffix.lower() not in CONTAINERS:
        raise UsageError(f"{out}: the result must end in {', '.join(CONTAINERS)}.")
    if not options.overwrite and _is_over(hidden_for(out, UNFINISHED), out):
        discard(hidden_for(out, UNFINISHED))
    if out.parent.is_dir():
        remove_stale(out.parent)
    refuse_existing(out, options.overwrite)
    refuse_input(out, video, speech, options.background)
    if options.background is not None:
        open_sound(options.background)


def key_of(video: Path, speech: Path, options: DubOptions, dubber: Dubber) -> dict[str, Any]:
    """All that the frames of a dub depend on, as JSON has it."""
    inputs = {"video": video, "speech": speech, "background": options.background}
    manner = {f.name: getattr(options, f.name) for f in fields(DubOptions) if f.name not in {*inputs, *_OF_NO_PICTURE}}
    return {
        "versions": [__version__, av.__version__, str(av.library_versions["libavcodec"])],
        "model": dict(dubber.config.files),
        "precision": dubber.precision,
        "inputs": {name: _state(path) for name, path in inputs.items() if path},
        "options": json.loads(json.dumps(manner)),
    }


def _state(path: Path) -> list[Any]:
    found = path.stat()
    return [os.fsencode(path.resolve()).hex(), found.st_size, found.st_mtime_ns]


def precision_for(outs: Sequence[Path], options: DubOptions) -> Precision:
    """What to draw with: what an unfinished one of the results was begun with, where the choice is ours."""
    if options.precision != "auto" or not options.resume:
        return options.precision
    begun = (_read_key(hidden_for(out, UNFINISHED)).get("precision") for out in outs)
    return cast("Precision", next((precision for precision in begun if precision), "auto"))


def _read_key(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        key: dict[str, Any] = json.loads((folder / "key.json").read_text(encoding="utf-8"))
        return key
    return {}


class Unfinished:
    """What is done of a dub, in a folder beside its result `out`; a context manager.

    The folder is made when there is something worth keeping, and stays where the dub is interrupted, killed, or the
    disk is full. It goes when the result is there, and where the inputs are at fault. Raises `UsageError` where another
    process works at the same result, `LipsmithError` where the disk is full.
    """

    def __init__(self, out: Path, key: Mapping[str, Any], resume: bool) -> None:
        self._out, self._key, self._resume = out, dict(key), resume
        self._folder = hidden_for(out, UNFINISHED)
        self._lock: int | None = None
        self._done = 0

    def __enter__(self) -> Self:
        remove_abandoned(self._out.parent, besides=self._folder)
        if self._folder.is_dir():
            self._hold()
            if not self._resume or _read_key(self._folder) != self._key:
                if self._resume:
                    _LOG.info("%s: inputs or options have changed since it was interrupted; it begins anew.", self._out)
                self._remove()
            self._done = next(number for number in count() if not self._is_whole(number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is None:
            return
        at_fault = isinstance(error, InputError | UsageError | WeightsError)
        if error is None or at_fault or not (self._done or self.scan()):
            self._remove()
            return
        kept = f"{PART * self._done} frames are kept" if self._done else "the faces that were found are kept"
        _LOG.info("%s: %s; the same command goes on from there.", self._out, kept)
        self._release()

    def scan(self) -> Path | None:
        """The faces that were found before, if they were."""
        path = self._folder / "scan.npz"
        return path if self._lock is not None and path.is_file() else None

    def keep_scan(self, clip: Clip, frames: int) -> None:
        """Keep the faces of footage that takes long to go through, or of which a result of many `frames` is made."""
        if self._resume and max(len(clip.times), frames) > PART and self.scan() is None:
            self._make()
            with self._disk():
                write_scan(self._folder / "scan.npz", Scan(clip.times, clip.faces, clip.size), clip.encoded.store)

    def parts(self, show: partial[Shown], film: partial[VideoWriter], at: list[float]) -> Iterator[tuple[Path, float]]:
        """See `mouth.Kept`."""
        self._make()
        begins = at[::PART]
        memories = self._memories(self._done - 1) if self._done else {}
        if self._done:
            _LOG.info("%s: %d frames are there from before; it continues after them.", self._out, PART * self._done)
        with closing(show(PART * self._done, memories)) as frames:
            for number in range(self._done, len(begins)):
                with film(self._part(number)) as part:
                    for image, shown, after in islice(frames, PART):
                        part.write(image, shown - begins[number])
                        memories = memories if after is None else after
                self._keep(number, len(begins), memories)
        for number, begin in enumerate(begins):
            yield self._part(number), begin

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:05}.nut"

    def _is_whole(self, number: int) -> bool:
        """Whether a part is there as long as when it was kept; what was written last bears witness to it."""
        with suppress(OSError, ValueError, KeyError), np.load(self._part(number).with_suffix(".npz")) as kept:
            return int(kept["size"]) == self._part(number).stat().st_size
        return False

    def _keep(self, number: int, parts: int, memories: Memories) -> None:
        path, missing = self._part(number), parts - number - 1
        arrays: dict[str, Any] = {"size": np.array(path.stat().st_size), "missing": np.array(missing)}
        for face, memory in memories.items():
            arrays |= {f"{face}/color": memory.color, f"{face}/grain": np.array(memory.grain)}
        with self._disk(), write_whole(path.with_suffix(".npz")) as beside:
            np.savez(beside, **arrays)
        self._done = number + 1

    def _memories(self, number: int) -> Memories:
        with np.load(self._part(number).with_suffix(".npz")) as kept:
            faces = [name.partition("/")[0] for name in kept.files if name.endswith("/grain")]
            grains = {face: kept[f"{face}/grain"].tolist() for face in faces}
            return {int(face): Memory(kept[f"{face}/color"], (int(n), level)) for face, (n, level) in grains.items()}

    def _make(self) -> None:
        if self._lock is not None:
            return
        with self._disk():
            try:
                self._folder.mkdir()
            except FileExistsError:  # since we looked
                raise _taken(self._out) from None
            self._hold()
            with write_whole(self._folder / "key.json") as beside:
                beside.write_text(json.dumps(self._key), encoding="utf-8")

    def _hold(self) -> None:
        lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o666)
        if not hold(lock):
            os.close(lock)
            raise _taken(self._out)
        self._lock = lock

    def _release(self) -> None:
        assert self._lock is not None
        os.close(self._lock)
        self._lock = None

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._release()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LipsmithError(f"{self._out} was not written: {error.strerror or error}.") from error


def _taken(out: Path) -> UsageError:
    return UsageError(f"{out} is being written by another run; wait for that one or choose another name.")


def remove_abandoned(folder: Path, besides: Path) -> None:
    """Remove what dubs of a week ago left unfinished in `folder`, unless a process works at it."""
    for left in folder.glob(f"{HIDDEN}*{UNFINISHED}"):
        if left != besides and time.time() - left.stat().st_mtime > _STALE:
            discard(left)


def _is_over(folder: Path, out: Path) -> bool:
    """Whether a process was killed after its result `out` was there, and before the folder was gone."""
    kept = sorted(folder.glob("[0-9]*.npz"))
    try:
        with np.load(kept[-1]) if kept else nullcontext({"missing": 0}) as last:
            return not last["missing"] and out.stat().st_mtime >= folder.stat().st_mtime
    except (OSError, ValueError, KeyError):
        return False
