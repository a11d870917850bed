"""The faces of a film: where each one is through its shot, how visible it is, and the reference crops that show it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.options import FACE_WORDS, face_numbers
from lipsmith.errors import LipsmithError, UsageError
from lipsmith.face.landmarks import Floats
from lipsmith.face.stretches import prominence

_LOG = logging.getLogger(__name__)

# Frames over which the drawn mouth comes and goes where tracking starts or stops within a shot.
FADE: Final = 4
# Scores of the face network between which a face goes from hidden to seen (it gives up below 0.5).
HIDDEN: Final = 0.5
SEEN: Final = 0.75
# A face must be there for this share of the longest-seen face's frames to count as left- or rightmost.
_LASTING: Final = 0.25


@dataclass(frozen=True)
class Stored:
    """Where an array lies in its `CropStore`."""

    offset: int
    shape: tuple[int, ...]


class CropStore:
    """Arrays of bytes in one temporary file, which the system removes when the process ends, however it ends."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="lipsmith-")  # noqa: SIM115 - lives as long as the store
        self._end = 0
        self._lock = Lock()

    def put(self, images: NDArray[np.uint8]) -> Stored:
        """Keep `images`; raises `LipsmithError` where the temporary folder is full."""
        with self._lock:
            try:
                self._file.seek(self._end)
                self._file.write(np.ascontiguousarray(images).data)
                self._file.flush()
            except OSError as error:
                folder = tempfile.gettempdir()
                raise LipsmithError(
                    f"Reference pictures do not fit into {folder} ({error.strerror}); set TMPDIR to a folder with room."
                ) from error
            place = Stored(self._end, images.shape)
            self._end += images.nbytes
        return place

    def get(self, place: Stored) -> NDArray[np.uint8]:
        """The array that lies at `place`."""
        with self._lock:
            self._file.seek(place.offset)
            content = self._file.read(int(np.prod(place.shape)))
        return np.frombuffer(content, np.uint8).reshape(place.shape)


@dataclass(frozen=True, repr=False)
class Face:
    """A face of one shot in its `n` frames. Points are float32 `(n, 131, 2)`."""

    number: int
    """In the list of all faces of the footage, from 1."""
    shot: int
    frames: NDArray[np.intp]
    """(n,) numbers of the frames, rising."""
    points: NDArray[np.float32]
    """Crop units, as filmed."""
    transforms: NDArray[np.float64]
    """(n, 2, 3), source pixels to crop units, smoothed over time."""
    opacity: NDArray[np.float32]
    """(n,) in [0, 1]: how far the drawn mouth is to be seen."""
    pool: Stored
    """(R, S, S, 3) uint8, the reference crops."""
    pool_points: NDArray[np.float32]
    """(R, 131, 2), crop units."""
    pool_still: NDArray[np.float32]
    """(R, 2, 2), crop units: `lipsmith.face.crop.still_points` of the pool."""
    lips: NDArray[np.intp]
    """(m,) ranks in the pool of the lip references."""
    landmarks: NDArray[np.float32]
    """(N, 131, 2), crop units: the landmark generator's references."""
    size: float
    """Median width of the face, source pixels."""
    place: tuple[float, float]
    """Median center of the face, source pixels."""
    seconds: tuple[float, float]
    """When it is first and last seen."""
    native: Stored | None = None
    """(R, rows, N, 3) uint8: the references as large as they were filmed, `paste.detail`; None for a small face."""

    def __repr__(self) -> str:
        start, end = self.seconds
        return f"Face({self.number}, shot {self.shot}, {start:.2f} to {end:.2f} s, {self.size:.0f} px wide)"

    def rows(self, order: NDArray[np.intp]) -> NDArray[np.intp]:
        """For frames numbered `order` the rows of this track's arrays, -1 where the face is not seen."""
        at = np.minimum(np.searchsorted(self.frames, order), len(self.frames) - 1)
        return np.where(self.frames[at] == order, at, -1)


def choose(tracks: Sequence[Face], face: str) -> list[Face]:
    """The faces to dub: largest, left or right of each shot, all, or numbers as listed ("2" or "1,4").

    Raises `UsageError` for another word or a number that no face has.
    """
    if face == "all":
        return list(tracks)
    if face in FACE_WORDS:
        shots = {track.shot: [other for other in tracks if other.shot == track.shot] for track in tracks}
        return [_of_shot(together, face) for together in shots.values()]
    wanted = face_numbers(face)
    unknown = sorted(wanted - {track.number for track in tracks})
    if unknown:
        raise UsageError(f"There is no face number {unknown[0]}: {len(tracks)} were found; --list-faces shows them.")
    return [track for track in tracks if track.number in wanted]


def ignored_faces(tracks: Sequence[Face], chosen: Sequence[Face]) -> list[Face]:
    """Faces that are not `chosen` though nobody who is shares a frame with them, in shots where somebody is.

    Who leaves the picture and comes back elsewhere is another face; so is a stranger who comes first.
    """
    return [
        track
        for track in tracks
        if (beside := [other for other in chosen if other.shot == track.shot])
        and not any(other is track or np.isin(other.frames, track.frames).any() for other in beside)
    ]


def warn_ignored_faces(name: str, face: str, tracks: Sequence[Face], chosen: Sequence[Face]) -> None:
    """Log a warning where `face`, a word, leaves faces of the footage `name` undubbed that were likely meant."""
    if face in FACE_WORDS and (others := ignored_faces(tracks, chosen)):
        numbers = ", ".join(str(track.number) for track in others)
        _LOG.warning(
            "%s: the original lips stay where only face %s is seen; choose faces by number, or all.", name, numbers
        )


def _of_shot(tracks: list[Face], face: str) -> Face:
    if face == "largest":
        return max(tracks, key=lambda track: prominence(track.size, len(track.frames)))
    longest = max(len(track.frames) for track in tracks)
    lasting = [track for track in tracks if len(track.frames) >= _LASTING * longest]
    return sorted(lasting, key=lambda track: track.place[0])[0 if face == "left" else -1]


def opacities(frames: NDArray[np.intp], scores: Floats, first: int, last: int) -> NDArray[np.float32]:
    """How far the drawn mouth is to be seen, `(n,)`: less near the ends of tracking and where the score is low.

    `first`, `last`: the shot's own ends, at which nothing fades.
    """
    breaks = np.flatnonzero(np.diff(frames) > 1)
    starts = np.concatenate([[0], breaks + 1])
    stops = np.concatenate([breaks, [len(frames) - 1]])
    opacity = np.ones(len(frames))
    for start, stop in zip(starts, stops, strict=True):
        place = np.arange(stop - start + 1)
        if frames[start] > first:
            opacity[start : stop + 1] *= np.minimum(1, (place + 1) / (FADE + 1))
        if frames[stop] < last:
            opacity[start : stop + 1] *= np.minimum(1, (place[::-1] + 1) / (FADE + 1))
    seen = np.clip((_steady(np.asarray(scores)) - HIDDEN) / (SEEN - HIDDEN), 0, 1)
    return (opacity * seen).astype(np.float32)


def _steady(scores: Floats) -> NDArray[np.float64]:
    """Scores averaged over `FADE` neighbors, so that a doubt of one frame does not flash."""
    padded = np.pad(scores, (FADE // 2, FADE // 2), mode="edge")
    return np.convolve(padded, np.ones(FADE // 2 * 2 + 1) / (FADE // 2 * 2 + 1), mode="valid")
