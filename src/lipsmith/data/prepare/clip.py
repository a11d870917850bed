"""Turns a source file into prepared clips, one per sufficiently long stretch with a single speaking face."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord
from lipsmith.data.prepare.layouts import Job
from lipsmith.data.prepare.store import ClipWriter
from lipsmith.errors import InputError
from lipsmith.face.landmarks import select
from lipsmith.face.stretches import Shot, ShotFace, Stretch, crop_frames, main_face, shots_of, tracked
from lipsmith.media import VideoInfo, probe, read_frames
from lipsmith.speech.mel import SAMPLE_RATE, mel_spectrogram, stream_audio

if TYPE_CHECKING:
    from lipsmith.face import FaceTracker

MIN_SECONDS: Final = 0.5
MAX_SECONDS: Final = 30.0  # longer shots are split, which bounds the memory of workers and loaders
MAX_GAP: Final = 1.0  # longest gap without a face that is bridged, seconds
RIVAL_HEIGHT: Final = 0.5  # of the main face's height: a second face this tall is a second speaker
RIVAL_SHARE: Final = 0.2  # share of the frames in which it must be visible
MAX_MUTE: Final = 0.2  # longest end of a clip without sound, seconds
QUIET: Final = 10 ** (-55 / 20)  # peak level below which a sound has no speech

NO_FACE: Final = "no face"
SEVERAL_FACES: Final = "several faces"
NO_SPEECH: Final = "no speech"
TOO_SHORT: Final = "too short"
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one source: its clips, or the reason why there are none."""

    source: str
    records: list[ClipRecord] = field(default_factory=list)
    reason: str | None = None
    detail: str = ""


class LeftOutError(Exception):
    """The reason why a source yields no clip."""


def prepare_clip(job: Job, root: Path, side: int, tracker: FaceTracker) -> Outcome:
    """Prepare one source below `root` with crops of `side` pixels; problems of the footage never raise an error."""
    source = str(job.source)
    try:
        info = probe(job.source)
        if not info.has_audio:
            raise LeftOutError(NO_SPEECH)
        records = list(Preparation(job, root, side, tracker, info).records())
    except LeftOutError as reason:
        return Outcome(source, reason=str(reason))
    except InputError as error:
        return Outcome(source, reason=UNREADABLE, detail=str(error))
    return Outcome(source, records)


class Preparation:
    """Writes the clips of one source. `selective`: leave out stretches without speech or with a second speaker."""

    def __init__(
        self, job: Job, root: Path, side: int, tracker: FaceTracker, info: VideoInfo, *, selective: bool = True
    ) -> None:
        self._job, self._root, self._side, self._tracker = job, root, side, tracker
        self._fps = float(info.rate)
        self._speech = _Speech(job.source) if info.has_audio else None
        self._selective = selective
        self._again = read_frames(job.source)
        """Starts a second reading for the crops, which follows the first one shot by shot."""
        self._reasons: Counter[str] = Counter()

    def records(self) -> Generator[ClipRecord, None, None]:
        """Prepare shot after shot, the main face of each. Raises LeftOutError if no shot is suitable."""
        made = 0
        for shot in self._shots():
            if not shot.faces:
                self._reasons[NO_FACE] += shot.last - shot.first + 1
                continue
            main = main_face(shot.faces)
            for stretch in map(self._with_sound, shot.clear_stretches(main)):
                beside = rivals(shot, main, stretch) if self._selective else 0
                record = self._prepare(stretch, beside, made)
                if record is not None:
                    made += 1
                    yield record
        if made == 0:
            raise LeftOutError(self._reasons.most_common(1)[0][0])

    def _shots(self) -> Iterator[Shot]:
        return shots_of(
            tracked(read_frames(self._job.source), self._tracker),
            bridge=int(MAX_GAP * self._fps),
            whole_mesh=True,
            longest=MAX_SECONDS,
        )

    def _with_sound(self, stretch: Stretch) -> Stretch:
        """The stretch up to the end of the sound, beyond which a moving mouth would be paired with silence.

        Unchanged if that would leave less than a clip.
        """
        start, end = float(stretch.times[0]), float(stretch.times[-1]) + 1 / self._fps
        heard = self._heard(start, end).size / SAMPLE_RATE
        if not self._selective or heard < MIN_SECONDS or end - start - heard <= MAX_MUTE:
            return stretch
        frames = int(np.searchsorted(stretch.times + 1 / self._fps, start + heard, side="right"))
        return stretch.between(stretch.first, stretch.first + frames) if frames else stretch

    def _prepare(self, stretch: Stretch, beside: int, made: int) -> ClipRecord | None:
        """Write the clip of one stretch and return its record, or count the reason and return None.

        `beside`: frames with a rival. `made`: clips of this source before it.
        """
        start, frames = float(stretch.times[0]), len(stretch)
        seconds = float(stretch.times[-1]) - start + 1 / self._fps
        mel = self._mel(start, seconds)
        if mel is None or seconds < MIN_SECONDS or beside > RIVAL_SHARE * frames:
            self._reasons[_reason(seconds, beside / frames)] += frames
            return None
        name = self._job.clip if made == 0 else f"{self._job.clip}+{made + 1}"
        with ClipWriter(self._root / name, self._side, self._fps) as writer:
            self._write_crops(writer, stretch)
            writer.commit({**_arrays(stretch), "mel": mel.astype(np.float16)})
        return ClipRecord(
            clip=name,
            split=self._job.split,
            identity=self._job.identity,
            source=str(self._job.source),
            frames=frames,
            fps=round(self._fps, 4),
            seconds=round(seconds, 3),
            tracked=round(float(stretch.seen.mean()), 4),
            start=round(start, 4),
            first=stretch.first,
        )

    def _write_crops(self, writer: ClipWriter, stretch: Stretch) -> None:
        count = 0
        for image in crop_frames(self._again, stretch, self._side):
            writer.write(image)
            count += 1
        if count < len(stretch):
            end = stretch.times[count]
            raise InputError(
                f"{self._job.source}: the second reading found no frame at {end:.2f} s; convert it to MP4."
            )

    def _mel(self, start: float, seconds: float) -> NDArray[np.float32] | None:
        wave = self._heard(start, start + seconds)
        if self._selective and seconds - wave.size / SAMPLE_RATE > MAX_MUTE:
            return None
        if wave.size == 0 or float(np.abs(wave).max()) < QUIET:
            silence = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
            return None if self._selective else mel_spectrogram(silence)
        return mel_spectrogram(wave)

    def _heard(self, start: float, end: float) -> NDArray[np.float32]:
        return self._speech.take(start, end) if self._speech else np.zeros(0, np.float32)


def rivals(shot: Shot, main: ShotFace, stretch: Stretch) -> int:
    """Number of frames of the `main` face's stretch in which another face is tall enough to be a second speaker."""
    inside = (main.frames >= stretch.first) & (main.frames < stretch.first + len(stretch))
    beside = np.zeros(len(main.frames), bool)
    for face in shot.faces:
        if face is not main:
            _, ours, theirs = np.intersect1d(main.frames, face.frames, assume_unique=True, return_indices=True)
            beside[ours] |= face.heights[theirs] > RIVAL_HEIGHT * main.heights[ours]
    return int((beside & inside).sum())


def _reason(seconds: float, beside: float) -> str:
    if seconds < MIN_SECONDS:
        return TOO_SHORT
    return SEVERAL_FACES if beside > RIVAL_SHARE else NO_SPEECH


def _arrays(stretch: Stretch) -> dict[str, NDArray[Any]]:
    return {
        "landmarks": select(stretch.points),
        "mesh": stretch.points.astype(np.float16),
        "transforms": stretch.transforms.astype(np.float32),
        "times": stretch.times - stretch.times[0],
        "tracked": stretch.seen,
    }


class _Speech:
    """A source's sound, 16 kHz mono, read in stretches of rising time; memory holds at most one stretch."""

    def __init__(self, source: Path) -> None:
        self._blocks = stream_audio(source)
        self._held = np.zeros(0, np.float32)
        self._position = 0

    def take(self, start: float, end: float) -> NDArray[np.float32]:
        """Samples from `start` to `end` seconds, fewer if the sound ends earlier."""
        first, last = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
        self._drop(first - self._position)
        while self._position + len(self._held) < last and (block := next(self._blocks, None)) is not None:
            self._held = np.concatenate([self._held, block])
            self._drop(first - self._position)
        return self._held[max(0, first - self._position) : max(0, last - self._position)]

    def _drop(self, samples: int) -> None:
        samples = min(max(samples, 0), len(self._held))
        self._held = self._held[samples:]
        self._position += samples
