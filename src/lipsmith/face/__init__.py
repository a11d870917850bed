"""Tracks the faces of a film: a mesh of 478 points per face and frame, with identity and shot numbers."""

from __future__ import annotations

from lipsmith.face.crop import Square
from lipsmith.face.detector import Detection, FaceDetector, FaceMesh
from lipsmith.face.tracker import MOST_FACES, FaceTracker, TrackedFace, TrackedFrame

__all__ = [
    "MOST_FACES",
    "Detection",
    "FaceDetector",
    "FaceMesh",
    "FaceTracker",
    "Square",
    "TrackedFace",
    "TrackedFrame",
]
