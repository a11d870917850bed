"""The main job, top to bottom; read this first.

    scan       film                -> faces: points (n, 131, 2), transforms (n, 2, 3), reference crops (R, S, S, 3)
    recording  speech              -> mel (80, steps), voicing (steps,)
    timeline   frame times         -> source frame (N,) and time (N,) of each output frame, as long as the speech
    mouth      face, mel           -> points (n, 131, 2) and references (n, k) of the frames that show the face
    draw       frames (H, W, 3)    -> crops (b, S, S, 3) with the new mouth, several frames at the same time
    paste      frames, crops       -> frames (H, W, 3) in which mouth, chin and cheeks are new
    write      frames, sound       -> a film

`Dubber.prepare` scans, `Clip.dub` runs the next three steps, and `Result` the last three, a few frames at a time.
Points are kept on disk, so memory hardly grows with the film's length. `dubbing.job.dub` runs all in one call.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith import __version__
from lipsmith.config import of_kind, path_of
from lipsmith.dubbing.clip_folder import ScannedClip, read_clip_folder, write_clip_folder
from lipsmith.dubbing.draw import Dubbed, Memories, ResultFrame, dub_frames
from lipsmith.dubbing.encoded import EncodedFaces
from lipsmith.dubbing.lending import with_lent
from lipsmith.dubbing.mouth import MouthTrack, predict_mouth
from lipsmith.dubbing.options import DubOptions, Said, Tail, choose, hear, speakers_of, warn_ignored_faces
from lipsmith.dubbing.parts import Kept, Shown
from lipsmith.dubbing.paste.label import labeled
from lipsmith.dubbing.scan import ArrayStore, Face, Scan, Scanner, Sizes, most_at_once, open_source
from lipsmith.dubbing.scan_file import read_scan
from lipsmith.dubbing.source import Fit, Source, Timeline, Video, chapters_of, duration, play, shown_rate
from lipsmith.face import MOST_FACES, FaceTracker
from lipsmith.files import refuse_clashes, refuse_existing
from lipsmith.inference.backend import Backend, Precision
from lipsmith.inference.model_folder import ModelConfig, checked_threads, find_model, load_backend, usable_cores
from lipsmith.media import VideoWriter
from lipsmith.media.background import Background
from lipsmith.media.container import kept_metadata, synthetic_metadata
from lipsmith.progress import Progress, prefetch, prefetch_where_free
from lipsmith.speech.conversation import Conversation
from lipsmith.speech.mel import SAMPLE_RATE
from lipsmith.speech.recording import Speech, speaking

if TYPE_CHECKING:
    from lipsmith.live import Live

_LOG = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 4
"""Maximum number of groups of frames drawn in parallel: each takes memory, and pasting, one frame after the other and a
third of the work of drawing, keeps up with no more."""


class Dubber:
    """One model, loaded once for any number of videos."""

    def __init__(self, backend: Backend, config: ModelConfig, threads: int | None = None) -> None:
        self._backend, self.config = backend, config
        self._at_once = min(threads or usable_cores(), MOST_AT_ONCE)

    @property
    def precision(self) -> Precision:
        """The precision with which it draws, float or int8; waits until it is chosen."""
        return self._backend.precision

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path = "fast",
        device: str = "auto",
        threads: int | None = None,
        precision: Precision = "auto",
    ) -> Dubber:
        """A model by name or from a folder, on `device` (auto, cpu, cuda or cuda:N).

        `precision` of the renderer on a CPU: float, int8, or auto (int8 if it is faster). Raises `WeightsError` if the
        model is missing or damaged, `UsageError` if device or precision is unavailable.
        """
        DubOptions(precision=precision)
        folder = find_model(name_or_folder)
        config = folder.settings
        threads = checked_threads(threads)
        return cls(load_backend(folder, device, threads, precision), config, threads)

    def prepare(
        self,
        video: Video,
        face: str | int = "largest",
        start: float | None = None,
        end: float | None = None,
        rate: float | None = None,
        progress: Progress | None = None,
        known: Path | None = None,
    ) -> Clip:
        """Find the faces of a film, a picture, or RGB frames `(H, W, 3)` in memory.

        `face`: largest, left or right of each shot, all, or numbers from `Clip.faces` such as 2 or "1,4".
        `rate`: frames a second of frames in memory (default: 25). They are not copied: leave them unchanged while the
        clip is in use. `start`, `end`: seconds of the footage used. `progress` gets frames done and their number, 0 if
        unknown. `known`: what `write_scan` kept. Raises `InputError` for footage that cannot be read or shows no face,
        `UsageError` for a number that no face has and for the `rate` of a file, which has its own.
        """
        options = DubOptions(face=str(face), start=start, end=end)
        source, store = open_source(video, rate, start, end), ArrayStore()
        if known is not None:
            scan = read_scan(known, store)
        else:
            tracker, sizes = FaceTracker(MOST_FACES, self._at_once), Sizes(self.config.face_size, self.config.lips)
            found = Scanner(tracker, store, sizes, self._at_once).scan(source, progress)
            scan = with_lent(found, store, sizes) if len(found.faces) > 1 else found
        chosen, name = choose(scan.faces, options.face), source.footage.name
        _LOG.info("%s: frames: %d, faces: %d, to dub: %d", name, len(scan.times), len(scan.faces), len(chosen))
        warn_ignored_faces(name, options.face, scan.faces, chosen)
        return self.clip_of(ScannedClip(source, scan, chosen, self.config.face_size))

    def clip_of(self, prepared: ScannedClip) -> Clip:
        """A clip that this model dubs, of what is prepared."""
        scan, encoded = prepared.scan, EncodedFaces(self._backend, most_at_once(prepared.chosen))
        found = (prepared.source, scan.times, scan.size, scan.faces, prepared.chosen)
        return Clip(*found, self._backend, self.config, encoded, self._at_once)


@dataclass(repr=False, eq=False)
class Clip:
    """Footage with known faces, which can be dubbed any number of times."""

    source: Source
    times: NDArray[np.float64]
    """(F,) start times of the source's frames, seconds of the footage."""
    size: tuple[int, int]
    """Width and height of the frames."""
    faces: list[Face]
    """All faces found."""
    chosen: list[Face]
    """Faces to dub."""
    backend: Backend
    config: ModelConfig
    encoded: EncodedFaces
    at_once: int
    """Groups of frames drawn in parallel, each in a thread."""

    def __repr__(self) -> str:
        found = f"faces: {len(self.faces)}, to dub: {len(self.chosen)}"
        return f"Clip({self.source.footage.name!r}, {self.seconds:.2f} s, {found})"

    def save(self, folder: Path | str) -> Path:
        """Keep the clip, frames and all, in `folder`, which must be new or empty, and return it; see `load`.

        Raises `UsageError` where it holds something, `LipsmithError` where it cannot be written, as on a full disk.
        """
        scanned = ScannedClip(self.source, Scan(self.times, self.faces, self.size), self.chosen, self.config.face_size)
        return write_clip_folder(path_of(folder, "The folder"), scanned)

    @classmethod
    def load(cls, folder: Path | str, dubber: Dubber | None = None) -> Clip:
        """The clip that `save` kept in `folder`, for `dubber`, or for the model fast.

        Raises `InputError` where there is none or it is damaged, `UsageError` where it was prepared for another model.
        """
        dubber = of_kind(Dubber.from_pretrained() if dubber is None else dubber, Dubber, "The dubber is", "a Dubber")
        return dubber.clip_of(read_clip_folder(path_of(folder, "The folder"), ArrayStore(), dubber.config.face_size))

    def live(self, rate: int = SAMPLE_RATE, strength: float = 1.0, paced: bool = True) -> Live:
        """A session in which the clip says speech as it is pushed, at `rate` samples a second; see `Live`."""
        from lipsmith.live import Live

        return Live(self, rate, strength=strength, paced=paced)

    @property
    def seconds(self) -> float:
        """Duration of the footage, including its last frame."""
        return duration(self.times, self.source.footage)

    def dub(
        self, speech: Said, rate: int = SAMPLE_RATE, tail: Tail = "cut", strength: float = 1.0, fit: Fit = "bounce"
    ) -> Result:
        """Dub the footage with `speech`: a file, samples `(n,)` or `(1 or 2, n)` at `rate` Hz, or a loaded `Speech`.

        Or a speech for each face, `{1: "anna.wav", 2: "ben.wav"}`, or `Turn`s, a list or a table (see `dub`): whatever
        was chosen, the faces of these numbers are dubbed, and the sound is the sum of all. The result is as long as the
        speech. Longer speech: what `fit` says, see `DubOptions`. Shorter, with `tail` keep: the footage goes on to its
        end in silence, lips closed; with cut it ends with the speech. `strength`, 0 to 2: how far the lips move from
        rest, the mean of the references. Raises `InputError` and `UsageError` for speech that cannot be said.
        """
        DubOptions(tail=tail, strength=strength, fit=fit)
        recording = hear(speech, rate)
        seconds = max(recording.seconds, self.seconds) if tail == "keep" else recording.seconds
        timeline = play(self.times, self.seconds, seconds, fit)
        if isinstance(recording, Speech) and not speaking(recording.voicing, timeline.times).any():
            _LOG.warning("No speech was detected in %s; the lips stay closed.", recording.file or "the recording")
        speakers = speakers_of(recording, self.faces, self.chosen, self.source.footage.name)
        predict = partial(predict_mouth, self.backend, self.config, ArrayStore())
        mouths = [predict(face, timeline, said, strength) for face, said in speakers]
        return Result(self, recording, timeline, [mouth for mouth in mouths if mouth])


@dataclass(repr=False, eq=False)
class Result:
    """A dubbed video, rendered on demand. `speech.sound()` is its sound: `rate` in Hz, `blocks` `(channels, n)`."""

    clip: Clip
    speech: Speech | Conversation
    timeline: Timeline
    mouths: list[MouthTrack]

    def __repr__(self) -> str:
        return f"Result({self.clip.source.footage.name!r}, {len(self)} frames, {self.speech.seconds:.2f} s)"

    def __len__(self) -> int:
        return len(self.timeline)

    def frames(self) -> Generator[ResultFrame, None, None]:
        """The frames, rendered as they are taken; closing the generator ends its threads and closes the film."""
        for frame in self._dubbed():
            yield ResultFrame(np.array(frame.image), float(self.timeline.times[frame.number]), frame.number)

    def save(
        self,
        path: Path | str,
        *,
        overwrite: bool = False,
        side_by_side: bool = False,
        progress: Progress | None = None,
        language: str | None = None,
        label: bool = False,
        background: Background | Path | str | None = None,
        kept: Kept | None = None,
    ) -> Path:
        """Write the film with its sound to `path`; `side_by_side` puts the source to its left.

        `label`: write "synthetic" into a corner. `language`: of the speech (ISO 639-2). `background`: music or effects
        under the speech, or their file. `kept`: keeps the parts of the result; all else is removed on any error. Raises
        `UsageError` where `path` is taken, an input or cannot be written, `LipsmithError` where the disk is full.
        """
        path, footage = path_of(path, "The result"), self.clip.source.footage
        if background is not None and not isinstance(background, Background):
            background = Background(path_of(background, "The background"))
        filmed, music = footage.info.path if footage.info else None, background.file if background else None
        DubOptions(language=language, background=music, gain=background.gain if background else DubOptions.gain)
        refuse_existing(path, overwrite)
        texts = kept_metadata(footage.info.metadata if footage.info else {})
        refuse_clashes([path], [filmed, *self.speech.files, music])
        film, show = self._film(side_by_side), partial(self._shown, side_by_side, label, progress)
        with film(
            path,
            sound=self.speech.sound(),
            background=background,
            metadata=texts | synthetic_metadata(f"lipsmith {__version__}", self.clip.config.name),
            end=self.timeline.end,
            cut=self.timeline.end < self.speech.seconds,
            chapters=chapters_of(footage, self.clip.times, self.timeline),
            language=language,
            overwrite=overwrite,
        ) as writer:
            if kept is None:
                for image, time, _ in show():
                    writer.write(image, time)
            else:
                for part, begin in kept.parts(show, partial(film, part_of=path), self.timeline.times.tolist()):
                    writer.append(part, begin)
                if progress is not None:  # parts kept earlier show no frame, and nothing follows a full last part
                    progress(len(self), len(self))
        return path

    def draw(self, kept: Kept, path: Path, *, side_by_side: bool = False, label: bool = False) -> None:
        """Draw what `kept` lacks of the film that `save` will write to `path` with the same options."""
        film, show = partial(self._film(side_by_side), part_of=path), partial(self._shown, side_by_side, label, None)
        for _ in kept.parts(show, film, self.timeline.times.tolist()):
            pass

    def _film(self, side_by_side: bool) -> partial[VideoWriter]:
        (width, height), footage = self.clip.size, self.clip.source.footage
        width *= 2 if side_by_side else 1
        rate = shown_rate(self.clip.times, footage.rate)
        return partial(VideoWriter, width=width, height=height, rate=rate, like=footage.info)

    def _shown(
        self, side_by_side: bool, label: bool, progress: Progress | None, begin: int = 0, before: Memories | None = None
    ) -> Shown:
        """The output frames from number `begin` on, as they are written."""
        with closing(prefetch_where_free(self._dubbed(begin, before), self.clip.at_once)) as frames:
            for frame in frames:
                image = labeled(np.asarray(frame.image)) if label else frame.image
                image = np.hstack([frame.filmed, image]) if side_by_side else image
                yield image, float(self.timeline.times[frame.number]), frame.memories
                if progress is not None:
                    progress(frame.number + 1, len(self))

    def _dubbed(self, begin: int = 0, before: Memories | None = None) -> Generator[Dubbed, None, None]:
        at_once, shown = self.clip.at_once, self.clip.source.show(self.timeline.index[begin:], self.clip.times)
        return dub_frames(self.clip.encoded, self.mouths, prefetch(shown), at_once, begin, before or {})
