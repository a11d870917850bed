"""Scans a film for faces: position and visibility through each shot, and reference crops."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import repeat
from math import prod
from mmap import ACCESS_READ, ALLOCATIONGRANULARITY, mmap
from os import SEEK_END, PathLike
from threading import Lock
from typing import Any, Final, NoReturn
from weakref import finalize

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lipsmith.config import path_of
from lipsmith.dubbing.array_source import ArraySource
from lipsmith.dubbing.paste.native import LARGEST, NativeCrops, native_side
from lipsmith.dubbing.source import FileSource, Source, Video
from lipsmith.errors import InputError, LipsmithError, UsageError
from lipsmith.face import FaceTracker
from lipsmith.face.crop import apply, invert, still_points
from lipsmith.face.landmarks import Floats, Rows
from lipsmith.face.look import opacities
from lipsmith.face.references import Candidate, choose_landmarks, choose_pool, in_view, sharpness_of, without_captions
from lipsmith.face.stretches import Shot, ShotFace, shots_of, tracked
from lipsmith.face.tracker import TrackedFrame
from lipsmith.inference.people import embed_faces, people
from lipsmith.media import Frame
from lipsmith.progress import Progress, prefetch


@dataclass(frozen=True, eq=False)
class Stored:
    """A read-only array in the temporary file of an `ArrayStore`; indexing reads only what it selects."""

    store: ArrayStore
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, part: Any) -> NDArray[Any]:  # noqa: ANN401 - any index of an array
        return np.array(self._mapped()[part])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._mapped(), dtype)

    def _mapped(self) -> NDArray[Any]:
        """The whole array, of which only the pages that are read take memory, and only while it exists."""
        begin = self.offset // ALLOCATIONGRANULARITY * ALLOCATIONGRANULARITY
        pages = mmap(self.store.fileno(), 0, access=ACCESS_READ, offset=begin)
        return np.ndarray(self.shape, self.dtype, pages, self.offset - begin)


class ArrayStore:
    """Arrays in one temporary file, which the system removes when the process ends, even after a crash."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="lipsmith-")  # noqa: SIM115 - lives as long as the store
        self._lock = Lock()
        finalize(self, self._file.raw.close)  # an open file is a ResourceWarning; close() writes again what did not fit

    def __reduce__(self) -> NoReturn:
        raise UsageError("A clip belongs to one process; give others its folder (Clip.save, Clip.load) or the film.")

    def fileno(self) -> int:
        """The descriptor of the file."""
        return self._file.fileno()

    def put(self, array: NDArray[Any], instead_of: Stored | None = None) -> Stored:
        """Store `array`, not empty; raises `LipsmithError` if the temporary folder is full.

        It takes the room of the array `instead_of`, which nobody reads any more, if it fits in there.
        """
        with self._lock:
            try:
                if instead_of is not None and instead_of.nbytes >= array.nbytes:
                    offset = self._file.seek(instead_of.offset)
                else:
                    offset = self._file.seek(0, SEEK_END)
                self._file.write(np.ascontiguousarray(array).data)
                self._file.flush()
            except OSError as error:
                folder = f"{tempfile.gettempdir()} ({error.strerror})"
                raise LipsmithError(f"The faces do not fit into {folder}; set TMPDIR to a larger folder.") from error
        return Stored(self, offset, array.shape, array.dtype)

    def put_native(self, crops: NativeCrops) -> NativeCrops:
        """Store the pictures of `crops`; raises as `put`."""
        return replace(crops, jpegs=self.put(crops.jpegs[:]))


@dataclass(frozen=True, repr=False, eq=False)
class Face:
    """A face of one shot, number `shot` from 0, in its `n` frames. Points are float32 `(n, 131, 2)`."""

    number: int
    """Number of the person, from 1, in all shots; of this face alone where people cannot be recognized."""
    shot: int
    frames: NDArray[np.intp]
    """(n,) numbers of the frames, rising."""
    points: Rows
    """Crop units, as filmed."""
    transforms: NDArray[np.float64]
    """(n, 2, 3), source pixels to crop units, smoothed over time."""
    opacity: NDArray[np.float32]
    """(n,) in [0, 1]: opacity of the rendered mouth."""
    seen: NDArray[np.bool_]
    """(n,): False in short gaps, where the fields above are interpolated."""
    pool: Stored
    """(R, S, S, 3) uint8, the reference crops."""
    pool_points: Rows
    """(R, 131, 2), crop units."""
    pool_still: NDArray[np.float32]
    """(R, 2, 2), crop units: `lipsmith.face.crop.still_points` of the pool."""
    lips: NDArray[np.intp]
    """(m,) indices of the lip references in the pool."""
    landmarks: NDArray[np.float32]
    """(N, 131, 2), crop units: the landmark generator's references."""
    size: float
    """Median width of the face, source pixels."""
    place: tuple[float, float]
    """Median center of the face, source pixels."""
    seconds: tuple[float, float]
    """Times at which the face is first and last seen."""
    index: int
    """Place in the list of all faces of the footage, from 0."""
    native: NativeCrops | None = None
    """The R references at the film's resolution; None for a small face."""
    captioned: bool = False
    """Whether captions may cover it."""
    bar: int | None = None
    """Row of the film at which a bar begins below the picture; None without one."""

    def __repr__(self) -> str:
        start, end = self.seconds
        return f"Face({self.number}, shot {self.shot}, {start:.2f} to {end:.2f} s, {self.size:.0f} px wide)"

    def rows(self, order: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows of this face's arrays for the frames numbered `order`; -1 for frames that do not show the face."""
        at = np.minimum(np.searchsorted(self.frames, order), len(self.frames) - 1)
        return np.where(self.frames[at] == order, at, -1)


LONGEST_GAP: Final = 3
"""Longest gap, in frames, in which a lost face is interpolated; longer gaps show the source, and so do frames of a
short one that show something else than the face."""


@dataclass(frozen=True)
class Sizes:
    """The model's requirements: crop side, and number of lip references."""

    face: int = 128
    lips: int = 5


@dataclass(frozen=True)
class Scan:
    """Result of the first pass."""

    times: NDArray[np.float64]
    faces: list[Face]
    size: tuple[int, int]
    """Width and height of the frames."""


def most_at_once(faces: Sequence[Face]) -> int:
    """The most of the `faces` that one frame shows; 0 for no faces."""
    return int(np.bincount(np.concatenate([face.frames for face in faces])).max()) if faces else 0


class Scanner:
    """Finds the faces of footage, shot by shot."""

    def __init__(self, tracker: FaceTracker, store: ArrayStore, sizes: Sizes, threads: int = 1) -> None:
        self._tracker, self._store, self._sizes, self._threads = tracker, store, sizes, threads
        self._faces: list[Face] = []
        self._times: list[float] = []
        self._size = (0, 0)

    def scan(self, source: Source, progress: Progress | None = None) -> Scan:
        """Scan all frames. Raises `InputError` if no frame shows a face."""
        # Closed explicitly: a kept error keeps its traceback, and with it a thread that waits with the film open.
        with closing(self._counted(source, progress)) as frames:
            for shot in shots_of(frames, bridge=LONGEST_GAP, candidate_size=LARGEST // 2):
                for face in shot.faces:
                    self._faces.append(self._face(shot, face, len(self._faces)))
                    del face
                del shot  # free its pictures before the next shot is read
        if not self._faces:
            place = f"any of its {len(self._times)} frames" if len(self._times) > 1 else "its only frame"
            raise InputError(
                f"{source.footage.name}: no face in {place}; "
                "choose footage where a face is at least 30 pixels wide and turned toward the camera."
            )
        return Scan(np.array(self._times), self._numbered(), self._size)

    def _numbered(self) -> list[Face]:
        """The faces, all of one person with one number where people can be recognized."""
        if len(self._faces) == 1:
            return self._faces
        pools = ((np.asarray(face.pool), face.pool_points[:]) for face in self._faces)
        if (found := embed_faces(pools)) is None:
            return self._faces
        numbers = people(found, [face.frames for face in self._faces])
        return [replace(face, number=number) for face, number in zip(self._faces, numbers, strict=True)]

    def _counted(self, source: Source, progress: Progress | None) -> Generator[tuple[Frame, TrackedFrame], None, None]:
        """The frames with their faces; one thread reads ahead, one tracks, and this one keeps pictures."""
        total = source.footage.frames
        with closing(prefetch(source.frames())) as read:  # as in `scan`: the tracker may fail, too
            for frame, found in prefetch(tracked(read, self._tracker), 2):
                self._times.append(frame.time)
                self._size = (frame.image.shape[1], frame.image.shape[0])
                yield frame, found
                if progress is not None:
                    progress(frame.index + 1, max(total, frame.index + 1) if total else 0)

    def _face(self, shot: Shot, face: ShotFace, index: int) -> Face:
        stretches = face.stretches
        frames = _joined([np.arange(s.first, s.first + len(s)) for s in stretches])
        points = _joined([s.points for s in stretches])
        transforms = _joined([s.transforms for s in stretches])
        rows = np.searchsorted(frames, [candidate.frame for candidate in face.candidates])
        filmed = apply(invert(transforms[rows]), points[rows])
        whole = in_view(filmed, (self._size[0], shot.bar or self._size[1]))
        clean = without_captions([face.candidates[rank] for rank in whole], filmed[whole])
        candidates, crops, chosen, lips = self._references(clean, rows[whole], transforms, points)
        return Face(
            number=index + 1,
            shot=shot.number,
            frames=frames,
            points=self._store.put(points),
            transforms=transforms,
            opacity=opacities(frames, _joined([s.scores for s in stretches]), shot),
            seen=_joined([s.seen for s in stretches]),
            pool=self._store.put(crops),
            native=self._native(candidates, transforms[chosen]),
            captioned=any(one is not face.candidates[rank] for one, rank in zip(clean, whole, strict=True)),
            bar=shot.bar,
            pool_points=self._store.put(points[chosen]),
            pool_still=still_points(transforms[chosen]),
            lips=lips,
            landmarks=points[choose_landmarks(points)],
            size=face.width,
            place=face.place,
            seconds=(float(stretches[0].times[0]), float(stretches[-1].times[-1])),
            index=index,
        )

    def _references(
        self, candidates: list[Candidate], rows: NDArray[np.intp], transforms: Floats, points: Floats
    ) -> tuple[list[Candidate], NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
        """The pool, its crops `(R, S, S, 3)`, its rows in the face `(R,)`, and the indices of lip references in it."""
        with ThreadPoolExecutor(self._threads, "lipsmith") as pool:  # most of the time goes into decoding
            crops = np.stack([*pool.map(Candidate.crop, candidates, transforms[rows], repeat(self._sizes.face))])
        sharpness = np.array([sharpness_of(crop[len(crop) // 2 :]) for crop in crops])
        chosen = choose_pool(points[rows], sharpness)
        lips = choose_pool(points[rows][chosen], sharpness[chosen], self._sizes.lips)
        return [candidates[rank] for rank in chosen], crops[chosen], rows[chosen], lips

    def _native(self, candidates: list[Candidate], transforms: NDArray[np.float64]) -> NativeCrops | None:
        if (side := native_side(transforms)) is None:
            return None
        own = [candidate.part.own(transform) for candidate, transform in zip(candidates, transforms, strict=True)]
        return self._store.put_native(NativeCrops.of([candidate.jpeg() for candidate in candidates], own, side))


def open_source(
    video: Video, rate: float | None = None, start: float | None = None, end: float | None = None
) -> Source:
    """The footage between two times, of a file or of frames in memory at `rate` frames a second (default: 25).
    Raises `UsageError` for a file with a rate."""
    if not isinstance(video, str | PathLike):
        return ArraySource(video, 25.0 if rate is None else rate, start, end)
    if rate is not None:
        raise UsageError("The rate is for frames in memory, and a file has its own; leave it out.")
    return FileSource(path_of(video, "The footage"), start, end)


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One array, without a copy if there is only one, because that of a long shot is large."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
