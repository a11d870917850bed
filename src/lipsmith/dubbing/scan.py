"""The first pass: follow the faces, keep their geometry, and a bounded number of crops that may become references."""

from __future__ import annotations

import logging
from array import array
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.faces import Face, bridge, opacities
from lipsmith.dubbing.prefetch import prefetch
from lipsmith.dubbing.source import Source
from lipsmith.dubbing.store import CropStore
from lipsmith.errors import InputError
from lipsmith.face import FaceTracker, TrackedFace
from lipsmith.face.crop import apply, crop_image, fit_transforms, invert, smooth_transforms, still_points
from lipsmith.face.landmarks import NUM_POINTS, select
from lipsmith.face.references import LANDMARK_SETS, choose_landmarks, choose_lips, choose_pool, parts, sharpness_of
from lipsmith.face.shrink import Part, shrink
from lipsmith.media import Frame
from lipsmith.progress import Progress

_LOG = logging.getLogger(__name__)

# Cut-outs that one face may hold until its shot ends; when full, every second one goes, so that they stay evenly
# spread over time, and their mouth shapes distributed as the whole shot's.
CANDIDATES: Final = 75
# Cut-outs reach a tenth of the crop beyond it: the smoothed crop differs a little from the frame's own.
_CORNERS: Final = np.array([[-0.1, -0.1], [1.1, -0.1], [-0.1, 1.1], [1.1, 1.1]])


@dataclass(frozen=True)
class Sizes:
    """What the model asks of the crops: their side, lip references and reference landmark sets."""

    face: int = 128
    lips: int = 5
    landmarks: int = LANDMARK_SETS


@dataclass(frozen=True)
class Scan:
    """All that the first pass found."""

    times: NDArray[np.float64]
    faces: list[Face]
    size: tuple[int, int]
    """Width and height of the frames."""


@dataclass
class _Candidate:
    """Part of the frame in a row of the track."""

    row: int
    part: Part


@dataclass
class _Growing:
    """A track while its shot lasts."""

    frames: list[int] = field(default_factory=list)
    coordinates: array[float] = field(default_factory=lambda: array("f"))
    """Of all points, one after the other: a list of small arrays would take twice the memory and not give it back."""
    scores: list[float] = field(default_factory=list)
    candidates: list[_Candidate] = field(default_factory=list)
    stride: int = 1

    @property
    def points(self) -> NDArray[np.float32]:
        """(n, 131, 2), source pixels; a view."""
        return np.frombuffer(self.coordinates, np.float32).reshape(-1, NUM_POINTS, 2)

    def add(self, frame: Frame, face: TrackedFace, size: int) -> None:
        points = select(face.mesh).astype(np.float32)
        row = len(self.frames)
        self.frames.append(frame.index)
        self.coordinates.frombytes(points.tobytes())
        self.scores.append(face.score)
        if row % self.stride:
            return
        if len(self.candidates) == CANDIDATES:
            self.candidates, self.stride = self.candidates[::2], 2 * self.stride
            if row % self.stride:
                return
        self.candidates.append(_cut_out(row, frame.image, points, size))


class Scanner:
    """Turns footage into tracks, shot by shot."""

    def __init__(self, tracker: FaceTracker, store: CropStore, sizes: Sizes) -> None:
        self._tracker, self._store, self._sizes = tracker, store, sizes
        self._tracks: list[Face] = []
        self._times: list[float] = []
        self._growing: dict[int, _Growing] = {}
        self._shot, self._shot_begins = 0, 0

    def scan(self, source: Source, progress: Progress | None = None) -> Scan:
        """Go through all frames. Raises `InputError` where no frame shows a face."""
        total = source.footage.frames
        size = (0, 0)
        for frame in prefetch(source.frames()):
            self._take(frame)
            size = (frame.image.shape[1], frame.image.shape[0])
            if progress is not None:
                progress(frame.index + 1, max(total, frame.index + 1) if total else 0)
        self._close_shot()
        if not self._tracks:
            raise InputError(
                f"{source.footage.name}: no face in any of its {len(self._times)} frames; "
                "choose footage where a face is at least 30 pixels wide and turned towards the camera."
            )
        return Scan(np.array(self._times), self._tracks, size)

    def _take(self, frame: Frame) -> None:
        found = self._tracker.track(frame.image)
        if found.shot != self._shot:
            self._close_shot()
            self._shot, self._shot_begins = found.shot, frame.index
        self._times.append(frame.time)
        for face in found.faces:
            self._growing.setdefault(face.face, _Growing()).add(frame, face, self._sizes.face)

    def _close_shot(self) -> None:
        for growing in self._growing.values():
            self._tracks.append(self._finished(growing))
        self._growing = {}

    def _finished(self, growing: _Growing) -> Face:
        seen = np.array(growing.frames)
        frames, points, scores = bridge(seen, growing.points, np.array(growing.scores))
        times = np.array(self._times)[frames]
        low, high = points.min(1), points.max(1)
        fitted = np.concatenate([fit_transforms(points[part]) for part in parts(len(points))])
        transforms = smooth_transforms(fitted, times)
        # In place: a second copy of a long film's points would weigh.
        for part in parts(len(points)):
            points[part] = apply(transforms[part], points[part])
        rows = np.searchsorted(frames, seen)
        crops, chosen, lips = self._references(growing.candidates, rows, transforms, points)
        x, y = np.median((low + high) / 2, axis=0)
        return Face(
            number=len(self._tracks) + 1,
            shot=self._shot,
            frames=frames,
            points=points,
            transforms=transforms,
            opacity=opacities(frames, scores, self._shot_begins, len(self._times) - 1),
            pool=self._store.put(crops),
            pool_points=points[chosen],
            pool_still=still_points(transforms[chosen]),
            lips=lips,
            landmarks=points[choose_landmarks(points, self._sizes.landmarks)],
            size=float(np.median(high[:, 0] - low[:, 0])),
            place=(float(x), float(y)),
            seconds=(float(times[0]), float(times[-1])),
        )

    def _references(
        self,
        candidates: list[_Candidate],
        rows: NDArray[np.intp],
        transforms: NDArray[np.float64],
        points: NDArray[np.float32],
    ) -> tuple[NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
        """Pool crops `(R, S, S, 3)`, their rows in the track `(R,)`, and the lip references' ranks among them."""
        own = rows[[candidate.row for candidate in candidates]]
        crops = np.stack(
            [self._crop(candidate, transforms[row]) for candidate, row in zip(candidates, own, strict=True)]
        )
        sharpness = np.array([sharpness_of(crop[len(crop) // 2 :]) for crop in crops])
        pool = choose_pool(points[own], sharpness)
        lips = choose_lips(points[own][pool], sharpness[pool], self._sizes.lips)
        return crops[pool], own[pool], lips

    def _crop(self, candidate: _Candidate, transform: NDArray[np.float64]) -> NDArray[np.uint8]:
        return crop_image(candidate.part.image, candidate.part.own(transform), self._sizes.face)


def _cut_out(row: int, image: NDArray[np.uint8], points: NDArray[np.float32], size: int) -> _Candidate:
    """The part of a frame that the crop may need; of a face much larger than the crop, area means of its pixels."""
    corners = apply(invert(fit_transforms(points[None])[0]), _CORNERS)
    factor = max(1, int(np.ptp(corners, axis=0).max()) // (2 * size))
    return _Candidate(row, shrink(image, corners, factor))
