"""Faces of a film: a mesh of 478 points for each face of each frame, with identity and shot numbers."""

from __future__ import annotations

from lipsmith.face.crop import Square
from lipsmith.face.cuts import CutDetector
from lipsmith.face.detector import Detection, FaceDetector
from lipsmith.face.mesh import FaceMesh
from lipsmith.face.tracker import MOST_FACES, FaceTracker, TrackedFace, TrackedFrame

__all__ = [
    "MOST_FACES",
    "CutDetector",
    "Detection",
    "FaceDetector",
    "FaceMesh",
    "FaceTracker",
    "Square",
    "TrackedFace",
    "TrackedFrame",
]
