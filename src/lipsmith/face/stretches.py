"""The only pass from a film to its faces: shots, the faces of each shot, and the stretches in which a face is tracked.

    for shot in shots_of(tracked(read_frames(path), FaceTracker(6))):
        for stretch in main_face(shot.faces).stretches:
            for image in crop_frames(frames, stretch, 128): ...

Tracking keeps geometry but no pictures, except a few reference candidates on request. A crop depends on later poses, so
crops come from a second reading of the film, one at a time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.captions import BAR_EDGE, picture_end
from lipsmith.face.crop import apply, crop_image, fit_transforms, smooth_transforms
from lipsmith.face.landmarks import NUM_POINTS, Floats, parts, select
from lipsmith.face.references import Candidate, Candidates
from lipsmith.face.tracker import FaceTracker, TrackedFace, TrackedFrame

if TYPE_CHECKING:
    from lipsmith.face.cuts import Dissolve
    from lipsmith.media import Frame


@dataclass(frozen=True)
class Stretch:
    """An unbroken run of F frames in which one face is tracked."""

    first: int
    """Number of its first frame in the film."""
    times: NDArray[np.float64]
    """(F,) seconds."""
    points: NDArray[np.float32]
    """(F, 131 or 478, 2) crop units."""
    transforms: NDArray[np.float64]
    """(F, 2, 3) pixels of the film to crop units, smoothed over time."""
    scores: NDArray[np.float32]
    """(F,) in [0, 1]: scores of the face network."""
    seen: NDArray[np.bool_]
    """(F,): False in bridged gaps, where the fields above are interpolated."""

    def __len__(self) -> int:
        return len(self.times)

    def between(self, low: int, high: int) -> Stretch:
        """The part from frame `low` of the film to before frame `high`, both within the stretch."""
        part = slice(low - self.first, high - self.first)
        arrays = {name: getattr(self, name)[part] for name in ("times", "points", "transforms", "scores", "seen")}
        return replace(self, first=low, **arrays)


@dataclass(frozen=True)
class ShotFace:
    """One face of one shot, seen in n of its frames."""

    frames: NDArray[np.intp]
    """(n,) numbers of the frames in the film, rising."""
    boxes: NDArray[np.float32]
    """(n, 4): x0, y0, x1, y1 of the mesh, pixels of the film."""
    stretches: list[Stretch]
    candidates: list[Candidate]
    """Candidates for reference pictures; empty unless requested."""

    @property
    def width(self) -> float:
        """Median width, pixels of the film."""
        return float(np.median(self.boxes[:, 2] - self.boxes[:, 0]))

    @property
    def heights(self) -> NDArray[np.float32]:
        """(n,) pixels of the film."""
        return self.boxes[:, 3] - self.boxes[:, 1]

    @property
    def place(self) -> tuple[float, float]:
        """Median center, pixels of the film."""
        x, y = np.median((self.boxes[:, :2] + self.boxes[:, 2:]) / 2, axis=0)
        return float(x), float(y)


@dataclass(frozen=True)
class Shot:
    """Frames without a cut, and the faces seen in them."""

    number: int
    """From 0."""
    first: int
    """Number of its first frame in the film."""
    last: int
    """Number of its last frame in the film."""
    clear: tuple[int, int]
    """Its first and last frames outside dissolves, which are those above if it begins and ends with cuts."""
    faces: list[ShotFace]
    bar: int | None = None
    """Row at which a bar of one color begins below the picture; None without one. Candidates do not show it."""

    def clear_stretches(self, face: ShotFace) -> list[Stretch]:
        """The stretches of one of its faces without the frames of dissolves, which show two people at once."""
        begin, end = self.clear
        shown = [part for part in face.stretches if part.first <= end and part.first + len(part) > begin]
        return [part.between(max(part.first, begin), min(part.first + len(part), end + 1)) for part in shown]


def prominence(width: float, frames: int) -> float:
    """Visible area of a face over time: median `width` squared times the number of `frames` that show it."""
    return width**2 * frames


def main_face(faces: Sequence[ShotFace]) -> ShotFace:
    """The most prominent of a shot's faces, at least one."""
    return max(faces, key=lambda face: prominence(face.width, len(face.frames)))


def tracked(frames: Iterable[Frame], tracker: FaceTracker) -> Iterator[tuple[Frame, TrackedFrame]]:
    """Successive frames with their faces; a new `tracker` sets the maximum number of simultaneous faces."""
    return ((frame, tracker.track(frame.image)) for frame in frames)


def shots_of(
    frames: Iterable[tuple[Frame, TrackedFrame]],
    *,
    bridge: int = 0,
    whole_mesh: bool = False,
    candidate_size: int | None = None,
    longest: float = np.inf,
) -> Iterator[Shot]:
    """The shots of a film in order, each as soon as its last frame is known; a shot may show no face.

    Args:
        frames: successive frames, numbered from 0, with their faces; see `tracked`.
        bridge: gaps of at most this many frames are interpolated; longer gaps end a stretch.
        whole_mesh: keep all 478 points instead of the 131, at four times the memory.
        candidate_size: keep reference candidates for crops of this side; None for none.
        longest: seconds; longer shots are split, so that memory does not grow with the film.
    """
    growing: _GrowingShot | None = None
    for frame, found in frames:
        if growing is not None and found.dissolve is not None:
            later = growing.split(found.shot, found.dissolve)
            if growing.times:
                yield growing.finish(bridge)
            growing = later
        elif growing is not None and (growing.number != found.shot or frame.time - growing.times[0] >= longest):
            yield growing.finish(bridge)
            growing = None
        growing = growing or _GrowingShot(found.shot, frame.index, whole_mesh, candidate_size)
        growing.add(frame, found.faces)
    if growing is not None:
        yield growing.finish(bridge)


def crop_frames(frames: Iterator[Frame], stretch: Stretch, size: int) -> Iterator[NDArray[np.uint8]]:
    """The crops `(size, size, 3)` of a stretch, one by one.

    `frames` is a second reading of the same film, before or at the stretch's first frame. Reading stops after the
    stretch's last frame, ready for the next stretch. There are fewer crops if the film ends earlier.
    """
    last = stretch.first + len(stretch) - 1
    for frame in frames:
        if frame.index >= stretch.first:
            yield crop_image(frame.image, stretch.transforms[frame.index - stretch.first], size)
        if frame.index >= last:
            return


@dataclass
class _GrowingShot:
    number: int
    first: int
    whole_mesh: bool
    candidate_size: int | None
    begin: int = -1
    """Its first frame after a dissolve, by which it began."""
    end: int | None = None
    """Its last frame before a dissolve, by which it ends."""
    times: array[float] = field(default_factory=lambda: array("d"))
    faces: dict[int, _GrowingFace] = field(default_factory=dict)
    height: int = 0
    picture: int = 0
    """The largest `picture_end` of its frames."""

    def add(self, frame: Frame, faces: list[TrackedFace]) -> None:
        self.times.append(frame.time)
        if self.candidate_size:
            self.height, self.picture = frame.image.shape[0], picture_end(frame.image, self.picture)
        for face in faces:
            if face.face not in self.faces:
                self.faces[face.face] = _GrowingFace(Candidates(self.candidate_size) if self.candidate_size else None)
            self.faces[face.face].add(frame, face, self.whole_mesh)

    def split(self, number: int, dissolve: Dissolve) -> _GrowingShot:
        """Keep the frames before the middle of a dissolve, and return shot `number`, of the others."""
        first = max(dissolve.middle, self.first)  # a long shot may have been split meanwhile
        later = replace(self, number=number, first=first, begin=dissolve.end, times=self.times[first - self.first :])
        self.end, self.times = dissolve.begin, self.times[: first - self.first]
        rest = {name: face.split(dissolve) for name, face in self.faces.items()}
        later.faces = {name: face for name, face in rest.items() if face.frames}
        self.faces = {name: face for name, face in self.faces.items() if face.frames}
        return later

    def finish(self, bridge: int) -> Shot:
        times = np.frombuffer(self.times)
        bar = self.picture - BAR_EDGE if BAR_EDGE < self.picture < self.height else None
        faces = [face.finish(times, self.first, bridge, bar) for face in self.faces.values() if face.usable(len(times))]
        last = self.first + len(times) - 1
        clear = max(self.first, self.begin), last if self.end is None else self.end
        return Shot(self.number, self.first, last, clear, faces, bar)


@dataclass
class _GrowingFace:
    """Uses flat arrays, because lists of small arrays take twice the memory and do not free it."""

    candidates: Candidates | None
    frames: array[int] = field(default_factory=lambda: array("q"))
    boxes: array[float] = field(default_factory=lambda: array("f"))
    coordinates: array[float] = field(default_factory=lambda: array("f"))
    scores: array[float] = field(default_factory=lambda: array("f"))

    def add(self, frame: Frame, face: TrackedFace, whole_mesh: bool) -> None:
        points = select(face.mesh)
        self.frames.append(frame.index)
        self.boxes.extend(face.box)
        self.coordinates.frombytes((face.mesh if whole_mesh else points).astype(np.float32).tobytes())
        self.scores.append(face.score)
        if self.candidates is not None:
            self.candidates.offer(frame, points)

    def usable(self, shot: int) -> bool:
        """False for a face without references, because it is seen during a dissolve only, and for what was taken for a
        face in one or two of the `shot` frames."""
        return len(self.frames) >= min(3, shot) and (self.candidates is None or bool(self.candidates.kept))

    def split(self, dissolve: Dissolve) -> _GrowingFace:
        """Keep the frames before the middle of a dissolve, and return the others."""
        later = _GrowingFace(self.candidates.split(dissolve) if self.candidates else None)
        count, row = bisect_left(self.frames, dissolve.middle), len(self.coordinates) // len(self.frames)
        later.frames, self.frames = self.frames[count:], self.frames[:count]
        later.boxes, self.boxes = self.boxes[4 * count :], self.boxes[: 4 * count]
        later.coordinates, self.coordinates = self.coordinates[row * count :], self.coordinates[: row * count]
        later.scores, self.scores = self.scores[count:], self.scores[:count]
        return later

    def finish(self, times: NDArray[np.float64], first: int, bridge: int, bar: int | None) -> ShotFace:
        """`times`: of all frames of the shot, which starts at frame `first`; `bar`: see `Shot`."""
        frames = np.array(self.frames, np.intp)
        points = np.frombuffer(self.coordinates, np.float32).reshape(len(frames), -1, 2)
        scores = np.frombuffer(self.scores, np.float32)
        breaks = np.flatnonzero(np.diff(frames) > bridge + 1) + 1
        runs = [slice(*ends) for ends in pairwise([0, *breaks, len(frames)])]
        stretches = [_stretch(frames[run] - first, first, times, points[run], scores[run]) for run in runs]
        boxes = np.frombuffer(self.boxes, np.float32).reshape(-1, 4)
        kept = self.candidates.kept if self.candidates else []
        return ShotFace(frames, boxes, stretches, kept if bar is None else [one.without_bar(bar) for one in kept])


def _stretch(
    rows: NDArray[np.intp],
    first: int,
    times: NDArray[np.float64],
    points: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> Stretch:
    """`rows`: indices in the shot's `times` where the face is seen; `first`: its first frame. Overwrites `points`."""
    times = times[rows[0] : rows[-1] + 1]
    seen = np.isin(np.arange(rows[0], rows[-1] + 1), rows)
    if not seen.all():
        points, scores = _bridged(seen, points, scores)
    fitted = [fit_transforms(_landmarks(points[part])) for part in parts(len(points))]
    transforms = smooth_transforms(np.concatenate(fitted), times)
    # In place and in parts, because a second copy of a long film's points takes much memory.
    for part in parts(len(points)):
        points[part] = apply(transforms[part], points[part])
    return Stretch(first + int(rows[0]), times, points, transforms, scores, seen)


def _bridged(
    seen: NDArray[np.bool_], points: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points and scores of all frames, interpolated linearly between the frames in which the face is `seen`."""
    there, missing = np.flatnonzero(seen), np.flatnonzero(~seen)
    before = np.searchsorted(there, missing) - 1
    share = ((missing - there[before]) / (there[before + 1] - there[before]))[:, None, None]
    filled = np.empty((len(seen), *points.shape[1:]), np.float32)
    filled[there] = points
    filled[missing] = points[before] * (1 - share) + points[before + 1] * share
    return filled, np.interp(np.arange(len(seen)), there, scores).astype(np.float32)


def _landmarks(points: Floats) -> Floats:
    return points if points.shape[-2] == NUM_POINTS else select(points)
