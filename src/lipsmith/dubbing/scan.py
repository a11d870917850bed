"""The first pass: follow the faces, keep their geometry, and a bounded number of crops that may become references."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.faces import CropStore, Face, Stored, opacities
from lipsmith.dubbing.paste.detail import LARGEST, lendable, native_side
from lipsmith.dubbing.prefetch import prefetch
from lipsmith.dubbing.source import Source, open_source
from lipsmith.errors import InputError
from lipsmith.face import MOST_FACES, FaceTracker
from lipsmith.face.crop import still_points
from lipsmith.face.references import LANDMARK_SETS, Candidate, choose_landmarks, choose_lips, choose_pool, sharpness_of
from lipsmith.face.stretches import Shot, ShotFace, track_shots
from lipsmith.media import Frame
from lipsmith.progress import Progress

LONGEST_GAP: Final = 3
"""Frames for which a lost face is interpolated; in longer gaps the source is shown."""


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


class Scanner:
    """Turns footage into tracks, shot by shot."""

    def __init__(self, tracker: FaceTracker, store: CropStore, sizes: Sizes) -> None:
        self._tracker, self._store, self._sizes = tracker, store, sizes
        self._tracks: list[Face] = []
        self._times: list[float] = []
        self._size = (0, 0)

    def scan(self, source: Source, progress: Progress | None = None) -> Scan:
        """Go through all frames. Raises `InputError` where no frame shows a face."""
        # Closed by name: who keeps an error keeps its trace, and with that a thread that waits with the film open.
        with closing(self._counted(source, progress)) as frames:
            for shot in track_shots(frames, self._tracker, bridge=LONGEST_GAP, candidate_size=LARGEST // 2):
                for face in shot.faces:
                    self._tracks.append(self._track(shot, face, len(self._tracks) + 1))
                    del face
                del shot  # or its pictures stay while the next one is read
        if not self._tracks:
            raise InputError(
                f"{source.footage.name}: no face in any of its {len(self._times)} frames; "
                "choose footage where a face is at least 30 pixels wide and turned towards the camera."
            )
        return Scan(np.array(self._times), self._tracks, self._size)

    def _counted(self, source: Source, progress: Progress | None) -> Generator[Frame, None, None]:
        total = source.footage.frames
        for frame in prefetch(source.frames()):
            self._times.append(frame.time)
            self._size = (frame.image.shape[1], frame.image.shape[0])
            yield frame
            if progress is not None:
                progress(frame.index + 1, max(total, frame.index + 1) if total else 0)

    def _track(self, shot: Shot, face: ShotFace, number: int) -> Face:
        stretches = face.stretches
        frames = _joined([np.arange(s.first, s.first + len(s)) for s in stretches])
        points = _joined([s.points for s in stretches])
        transforms = _joined([s.transforms for s in stretches])
        candidates, crops, chosen, lips = self._references(face, frames, transforms, points)
        return Face(
            number=number,
            shot=shot.number,
            frames=frames,
            points=points,
            transforms=transforms,
            opacity=opacities(frames, _joined([s.scores for s in stretches]), shot.first, shot.last),
            pool=self._store.put(crops),
            native=self._native(candidates, transforms[chosen]),
            pool_points=points[chosen],
            pool_still=still_points(transforms[chosen]),
            lips=lips,
            landmarks=points[choose_landmarks(points, self._sizes.landmarks)],
            size=face.width,
            place=face.place,
            seconds=(float(stretches[0].times[0]), float(stretches[-1].times[-1])),
        )

    def _references(
        self, face: ShotFace, frames: NDArray[np.intp], transforms: NDArray[np.float64], points: NDArray[np.float32]
    ) -> tuple[list[Candidate], NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
        """The pool, its crops `(R, S, S, 3)` and rows in the track `(R,)`, and the ranks in it of lip references."""
        rows = np.searchsorted(frames, [candidate.frame for candidate in face.candidates])
        crops = np.stack(
            [c.crop(transforms[row], self._sizes.face) for c, row in zip(face.candidates, rows, strict=True)]
        )
        sharpness = np.array([sharpness_of(crop[len(crop) // 2 :]) for crop in crops])
        pool = choose_pool(points[rows], sharpness)
        lips = choose_lips(points[rows][pool], sharpness[pool], self._sizes.lips)
        return [face.candidates[rank] for rank in pool], crops[pool], rows[pool], lips

    def _native(self, candidates: list[Candidate], transforms: NDArray[np.float64]) -> Stored | None:
        side = native_side(transforms)
        if side is None:
            return None
        crops = [c.crop(own, side) for c, own in zip(candidates, transforms, strict=True)]
        return self._store.put(np.stack([lendable(crop) for crop in crops]))


def find_faces(
    video: Path | str,
    start: float | None = None,
    end: float | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Face]:
    """All faces of a film, shot by shot, with the numbers that `Dubber.prepare` takes; needs no model.

    Raises `InputError` where the film cannot be read or shows no face.
    """
    scanner = Scanner(FaceTracker(MOST_FACES, threads or 1), CropStore(), Sizes())
    return scanner.scan(open_source(Path(video), start=start, end=end), progress).faces


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One array, which is no copy where there is but one: that of a long shot weighs."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
