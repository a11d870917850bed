"""Faces of a film: a mesh of 478 points for each face of each frame, with identity and shot numbers."""

from __future__ import annotations

from lipsmith.face.cuts import CutDetector
from lipsmith.face.detector import Detection, FaceDetector
from lipsmith.face.mesh import FaceMesh
from lipsmith.face.square import Square
from lipsmith.face.tracker import MOST_FACES, Face, FaceTracker, TrackedFrame

__all__ = [
    "MOST_FACES",
    "CutDetector",
    "Detection",
    "Face",
    "FaceDetector",
    "FaceMesh",
    "FaceTracker",
    "Square",
    "TrackedFrame",
]
