"""One source file to prepared clips: one per shot that shows a single face and long enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord
from lipsmith.data.prepare.layouts import Job
from lipsmith.data.prepare.store import ClipWriter
from lipsmith.data.prepare.stretch import Stretch
from lipsmith.errors import InputError
from lipsmith.media import Frame, VideoInfo, probe, read_frames
from lipsmith.speech.mel import SAMPLE_RATE, mel_spectrogram, stream_audio

if TYPE_CHECKING:
    from lipsmith.face import FaceTracker, TrackedFace, TrackedFrame

MIN_SECONDS: Final = 0.5
MAX_SECONDS: Final = 30.0  # longer shots are cut: it bounds what a worker and a loader hold
MAX_GAP: Final = 1.0  # seconds without a face that geometry may bridge
RIVAL_HEIGHT: Final = 0.5  # of the main face's: a second face this tall is a second speaker
RIVAL_SHARE: Final = 0.2  # of the frames it must be seen in
QUIET: Final = 10 ** (-55 / 20)  # peak level below which a sound holds no speech

NO_FACE: Final = "no face"
SEVERAL_FACES: Final = "several faces"
NO_SPEECH: Final = "no speech"
TOO_SHORT: Final = "too short"
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True)
class Outcome:
    """What became of one source: its clips, or why there are none."""

    source: str
    records: list[ClipRecord] = field(default_factory=list)
    reason: str | None = None
    detail: str = ""


class _LeftOutError(Exception):
    """Why a source yields nothing."""


def prepare_clip(job: Job, root: Path, size: int, tracker: FaceTracker) -> Outcome:
    """Prepare one source below `root` with crops of side `size`; never raises for what is wrong with the footage."""
    source = str(job.source)
    try:
        info = probe(job.source)
        if not info.has_audio:
            raise _LeftOutError(NO_SPEECH)
        records = list(_Preparation(job, root, size, tracker, info).records())
    except _LeftOutError as reason:
        return Outcome(source, reason=str(reason))
    except InputError as error:
        return Outcome(source, reason=UNREADABLE, detail=str(error))
    return Outcome(source, records)


class _Preparation:
    def __init__(self, job: Job, root: Path, size: int, tracker: FaceTracker, info: VideoInfo) -> None:
        self._job, self._root, self._size, self._tracker = job, root, size, tracker
        self._fps = float(info.rate)
        self._speech = _Speech(job.source)
        self._reasons: Counter[str] = Counter()

    def records(self) -> Iterator[ClipRecord]:
        """Prepare shot after shot. Raises _LeftOutError where none was fit."""
        made = 0
        frames = _Peekable(self._tracked_frames())
        while frames.peek() is not None:
            record = self._stretch(frames, made)
            if record is not None:
                made += 1
                yield record
        if made == 0:
            raise _LeftOutError(self._reasons.most_common(1)[0][0] if self._reasons else NO_FACE)

    def _tracked_frames(self) -> Iterator[tuple[Frame, TrackedFrame]]:
        for frame in read_frames(self._job.source):
            yield frame, self._tracker.track(frame.image)

    def _stretch(self, frames: _Peekable, made: int) -> ClipRecord | None:
        """Consume frames up to the end of one stretch; its record, or None with the reason counted."""
        first, tracked = frames.next()
        if not tracked.faces:
            self._reasons[NO_FACE] += 1
            return None
        main, shot = max(tracked.faces, key=_height).face, tracked.shot
        name = self._job.clip if made == 0 else f"{self._job.clip}+{made + 1}"
        with ClipWriter(self._root / name, self._size, self._fps) as writer:
            stretch = Stretch(writer, self._size, self._fps)
            stretch.add(first.image, first.time, max(tracked.faces, key=_height).mesh)
            rivals = _rival(tracked, main)
            while (item := frames.peek()) is not None and self._continues(stretch, item, shot):
                frame, tracked = frames.next()
                face = next((face for face in tracked.faces if face.face == main), None)
                stretch.add(frame.image, frame.time, None if face is None else face.mesh)
                rivals += _rival(tracked, main)
            return self._finish(name, writer, stretch, first.time, rivals)

    def _continues(self, stretch: Stretch, item: tuple[Frame, TrackedFrame], shot: int) -> bool:
        frame, tracked = item
        too_long = frame.time - stretch.times[0] >= MAX_SECONDS
        return tracked.shot == shot and not too_long and stretch.gap <= MAX_GAP

    def _finish(self, name: str, writer: ClipWriter, stretch: Stretch, start: float, rivals: int) -> ClipRecord | None:
        arrays = stretch.finish()
        times, frames = arrays["times"], len(arrays["times"])
        seconds = float(times[-1]) + 1 / self._fps
        mel = self._mel(start, seconds)
        reason = self._reason(seconds, rivals / frames, mel)
        if reason is not None:
            self._reasons[reason] += frames
            return None
        writer.commit({**arrays, "mel": mel.astype(np.float16)} if mel is not None else arrays)
        return ClipRecord(
            clip=name,
            split=self._job.split,
            identity=self._job.identity,
            source=str(self._job.source),
            frames=frames,
            fps=round(self._fps, 4),
            seconds=round(seconds, 3),
            tracked=round(float(arrays["tracked"].mean()), 4),
        )

    def _mel(self, start: float, seconds: float) -> NDArray[np.float32] | None:
        wave = self._speech.take(start, start + seconds)
        if wave.size == 0 or float(np.abs(wave).max()) < QUIET:
            return None
        return mel_spectrogram(wave)

    def _reason(self, seconds: float, rivals: float, mel: NDArray[Any] | None) -> str | None:
        if seconds < MIN_SECONDS:
            return TOO_SHORT
        if rivals > RIVAL_SHARE:
            return SEVERAL_FACES
        return NO_SPEECH if mel is None else None


class _Speech:
    """A source's sound, 16 kHz mono, taken in stretches of rising time; no more than one is held."""

    def __init__(self, source: Path) -> None:
        self._blocks = stream_audio(source)
        self._held = np.zeros(0, np.float32)
        self._position = 0

    def take(self, start: float, end: float) -> NDArray[np.float32]:
        """Samples from `start` to `end` seconds, fewer where the sound ends before."""
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


class _Peekable:
    """An iterator of tracked frames whose next item can be looked at."""

    def __init__(self, items: Iterator[tuple[Frame, TrackedFrame]]) -> None:
        self._items = items
        self._next = next(items, None)

    def peek(self) -> tuple[Frame, TrackedFrame] | None:
        return self._next

    def next(self) -> tuple[Frame, TrackedFrame]:
        if self._next is None:
            raise StopIteration
        item, self._next = self._next, next(self._items, None)
        return item


def _height(face: TrackedFace) -> float:
    return float(np.ptp(face.mesh[:, 1]))


def _rival(tracked: TrackedFrame, main: int) -> int:
    """1 where a second face is tall enough to be a second speaker."""
    heights = {face.face: _height(face) for face in tracked.faces}
    others = [height for face, height in heights.items() if face != main]
    return int(main in heights and any(height > RIVAL_HEIGHT * heights[main] for height in others))
