"""Following faces through a film: detect once, then let each mesh say where to look next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.cuts import CutDetector
from lipsmith.face.detector import Detection, FaceDetector, distinct
from lipsmith.face.mesh import FaceMesh, mesh_square
from lipsmith.face.square import Square
from lipsmith.face.tracks import Sighting, Track, assign, one_each

PRESENT = 0.5
"""Score from which the landmark network's face is believed."""
REFRESH = 15
"""Frames between two thorough searches while fewer faces are tracked than wanted."""
NEARBY = 4
"""Frames between two searches around the place where a face was lost."""
REMEMBERED = 75
"""Frames for which that place is searched."""
PASSES = 4
"""Landmark passes on a fresh detection, at most, until mesh and crop agree."""


@dataclass(frozen=True)
class Face:
    """One face in one frame."""

    mesh: NDArray[np.float32]
    """(478, 2), source pixels."""
    score: float
    """Probability in [0, 1] that this is a face."""
    face: int
    """Identity number within the shot, from 0; of faces found at once, the largest comes first."""
    detected: bool
    """Whether it was found by a fresh search rather than followed from the frame before."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the mesh, source pixels."""
        (x0, y0), (x1, y1) = self.mesh.min(0).tolist(), self.mesh.max(0).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True)
class TrackedFrame:
    """The faces of one frame."""

    faces: list[Face]
    """By identity number; a face that is not seen is absent."""
    shot: int
    """Number of the shot, from 0."""


class FaceTracker:
    """Faces of a film, frame by frame, with numbers that last through a shot."""

    def __init__(self, max_faces: int = 1, threads: int = 1) -> None:
        self._max_faces = max_faces
        self._detector = FaceDetector(threads)
        self._mesh = FaceMesh(threads)
        self._is_cut = CutDetector()
        self._shot = 0
        self._tracks: list[Track] = []
        self._idle = REFRESH

    def track(self, image: NDArray[np.uint8]) -> TrackedFrame:
        """Faces of the next frame, an RGB image (H, W, 3). Frames must come in order."""
        if self._is_cut(image):
            self._shot += 1
            self._tracks, self._idle = [], REFRESH
        self._follow(image)
        fresh = self._search(image)
        faces = [Face(t.last.mesh, t.last.score, t.number, t in fresh) for t in self._tracks if not t.missed]
        return TrackedFrame(faces, self._shot)

    def _follow(self, image: NDArray[np.uint8]) -> None:
        """Take every track to the new frame, the faces that are not seen there as missed."""
        seen = [(track, self._look(image, track.crop)) for track in self._tracks if not track.missed]
        for track in self._tracks:
            track.missed += 1
        for track, sighting in one_each([(t, s) for t, s in seen if believable(s, image)]):
            track.follow(sighting)

    def _search(self, image: NDArray[np.uint8]) -> list[Track]:
        """Look for faces that no track follows. Returns the tracks of those found."""
        seen = [track.last for track in self._tracks if not track.missed]
        if len(seen) >= self._max_faces:
            return []
        found: list[Sighting] = []
        for detection in self._detections(image, bool(seen)):
            if any(face.same_face(detection.box, 0.4) for face in seen):
                continue
            sighting = self._settled(image, detection.crop)
            if believable(sighting, image) and not any(sighting.same_face(s.box) for s in [*seen, *found]):
                found.append(sighting)
        return self._admit(found, self._max_faces - len(seen))

    def _detections(self, image: NDArray[np.uint8], any_seen: bool) -> list[Detection]:
        """Round each place where a face was lost; in the whole picture while there is none, or now and then."""
        self._idle += 1
        thorough = self._idle > REFRESH
        lost = [t.crop for t in self._tracks if t.missed % NEARBY == 1 and t.missed < REMEMBERED]
        found = [one for crop in lost for one in self._detector.search(image, crop.scaled(1.5))]
        if thorough or not any_seen:
            found += self._detector(image, self._max_faces, tiled=thorough)
        if thorough:
            self._idle = 0
        return distinct(found)

    def _look(self, image: NDArray[np.uint8], crop: Square) -> Sighting:
        return Sighting(*self._mesh(image, crop), crop)

    def _settled(self, image: NDArray[np.uint8], crop: Square) -> Sighting:
        """The face once mesh and crop agree, so that the first frame is as good as the next.

        A face in profile is often believed only in one of these slightly different crops.
        """
        best = sighting = self._look(image, crop)
        for _ in range(PASSES - 1):
            if believable(sighting, image):
                best = sighting
                if sighting.next_crop == sighting.crop:
                    break
            sighting = self._look(image, mesh_square(sighting.mesh))
        return sighting if believable(sighting, image) else best

    def _admit(self, found: list[Sighting], room: int) -> list[Track]:
        """Continue lost tracks with the faces found, then make new tracks, largest first, while there is room."""
        continued = assign([track for track in self._tracks if track.missed], found)
        for index, track in continued.items():
            track.follow(found[index])
        others = [sighting for index, sighting in enumerate(found) if index not in continued]
        others.sort(key=lambda sighting: -sighting.crop.side)
        new = [
            Track(len(self._tracks) + extra, sighting, sighting.next_crop)
            for extra, sighting in enumerate(others[: max(room - len(continued), 0)])
        ]
        self._tracks += new
        return [*continued.values(), *new]


def believable(sighting: Sighting, image: NDArray[np.uint8]) -> bool:
    """Whether a face is there: the network says so, its centre is in the picture and its size is a face's."""
    x0, y0, x1, y1 = sighting.box
    height, width = image.shape[:2]
    centred = 0 <= (x0 + x1) / 2 <= width and 0 <= (y0 + y1) / 2 <= height
    return bool(sighting.score >= PRESENT and centred and 12 <= max(x1 - x0, y1 - y0) <= 4 * max(width, height))
