"""Following faces through a film: detect once, then let each mesh say where to look next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.cuts import CutDetector
from lipsmith.face.detector import FaceDetector, overlap
from lipsmith.face.mesh import FaceMesh, mesh_square
from lipsmith.face.square import Square
from lipsmith.face.tracks import Track, assign

PRESENT = 0.5
"""Score from which the landmark network's face is believed."""
REFRESH = 15
"""Frames between two searches while fewer faces are tracked than wanted."""
PATIENCE = 0.05


@dataclass(frozen=True)
class Face:
    """One face in one frame."""

    mesh: NDArray[np.float32]
    """(478, 2), source pixels."""
    score: float
    """Probability in [0, 1] that this is a face."""
    face: int
    """Identity number within the shot, from 0; the largest face of the shot's first search comes first."""
    detected: bool
    """Whether it was found by a fresh search rather than followed from the frame before."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the mesh, source pixels."""
        return mesh_box(self.mesh)


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
        self._restart()

    def _restart(self) -> None:
        self._tracks: list[Track] = []
        self._numbers = 0
        self._idle = REFRESH

    def track(self, image: NDArray[np.uint8]) -> TrackedFrame:
        """Faces of the next frame, an RGB image (H, W, 3). Frames must come in order."""
        if self._is_cut(image):
            self._shot += 1
            self._restart()
        lost = self._follow(image)
        seen = {track.number for track in self._tracks if not track.missed}
        fresh: set[int] = set()
        self._idle += 1
        if len(seen) < self._max_faces and (lost or not seen or self._idle > REFRESH):
            fresh = self._search(image)
        present = sorted((t for t in self._tracks if not t.missed), key=lambda track: track.number)
        return TrackedFrame([Face(t.mesh, t.score, t.number, t.number in fresh) for t in present], self._shot)

    def _follow(self, image: NDArray[np.uint8]) -> bool:
        """Move each seen track to the new frame. Returns whether one of them was lost."""
        seen = [track for track in self._tracks if not track.missed]
        for track in self._tracks:
            if track.missed:
                track.missed += 1
        believed = []
        for track in seen:
            mesh, score = self._mesh(image, track.crop)
            if score >= PRESENT and plausible(mesh, image):
                believed.append((track, mesh, score))
            else:
                track.missed = 1
        for track, mesh, score in self._merge(believed):
            track.follow(mesh, score)
        return any(track.missed == 1 for track in seen)

    def _merge(
        self, found: list[tuple[Track, NDArray[np.float32], float]]
    ) -> list[tuple[Track, NDArray[np.float32], float]]:
        """Where two tracks have run onto one face, the one that it surprises less keeps it."""
        kept: list[tuple[Track, NDArray[np.float32], float]] = []
        for one in sorted(found, key=lambda item: item[0].surprise(mesh_square(item[1]))):
            if any(same_face(one[1], other[1]) for other in kept):
                one[0].missed = 1
            else:
                kept.append(one)
        return kept

    def _search(self, image: NDArray[np.uint8]) -> set[int]:
        """Look for faces that no track follows. Returns the numbers of those found."""
        thorough = self._idle > REFRESH
        if thorough:
            self._idle = 0
        seen = [track.mesh for track in self._tracks if not track.missed]
        found: list[tuple[NDArray[np.float32], float, Square]] = []
        for detection in self._detector(image, wanted=self._max_faces, tiled=thorough):
            if any(inside(detection.box, mesh) for mesh in seen):
                continue
            mesh, score, crop = self._settled(image, detection.crop)
            known = [*seen, *(other for other, _, _ in found)]
            if score >= PRESENT and plausible(mesh, image) and not any(same_face(mesh, m) for m in known):
                found.append((mesh, score, crop))
        found.sort(key=lambda item: -item[2].side)
        return self._admit(found, self._max_faces - len(seen))

    def _settled(self, image: NDArray[np.uint8], crop: Square) -> tuple[NDArray[np.float32], float, Square]:
        """Mesh and score once crop and mesh agree, so that the first frame is as good as those that follow."""
        for _ in range(2):
            mesh, score = self._mesh(image, crop)
            if score < PRESENT:
                return mesh, score, crop
            crop = mesh_square(mesh)
        mesh, score = self._mesh(image, crop)
        return mesh, score, crop

    def _admit(self, found: list[tuple[NDArray[np.float32], float, Square]], room: int) -> set[int]:
        """Continue lost tracks with the faces found, largest first; the rest become new tracks."""
        missed = [track for track in self._tracks if track.missed]
        continued = assign(missed, [crop for _, _, crop in found], PATIENCE)
        fresh: set[int] = set()
        order = sorted(range(len(found)), key=lambda index: index not in continued)
        for index in order[:room]:
            mesh, score, crop = found[index]
            track = continued.get(index)
            if track is None:
                track = Track(self._numbers, crop, mesh, score)
                self._numbers += 1
                self._tracks.append(track)
            else:
                track.crop = crop
                track.follow(mesh, score)
            fresh.add(track.number)
        return fresh


def mesh_box(mesh: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of mesh (478, 2)."""
    (x0, y0), (x1, y1) = mesh.min(0).tolist(), mesh.max(0).tolist()
    return x0, y0, x1, y1


def same_face(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two meshes (478, 2) lie on one face."""
    return bool(overlap(np.array(mesh_box(one)), np.array([mesh_box(other)]))[0] > 0.6)


def inside(box: tuple[float, float, float, float], mesh: NDArray[np.float32]) -> bool:
    """Whether a detected box is that of a face already followed."""
    return bool(overlap(np.array(box), np.array([mesh_box(mesh)]))[0] > 0.4)


def plausible(mesh: NDArray[np.float32], image: NDArray[np.uint8]) -> bool:
    """Whether a mesh's centre lies in the picture and its size is that of a face."""
    x0, y0, x1, y1 = mesh_box(mesh)
    height, width = image.shape[:2]
    centred = 0 <= (x0 + x1) / 2 <= width and 0 <= (y0 + y1) / 2 <= height
    return centred and 12 <= max(x1 - x0, y1 - y0) <= 4 * max(width, height)
