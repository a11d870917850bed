"""Faces at positions set by a test, instead of those of a tracker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count

import numpy as np
from numpy.typing import NDArray

from lipsmith.face import TrackedFace, TrackedFrame, crop
from lipsmith.face.cuts import Dissolve

Seen = tuple[int, dict[int, NDArray[np.float32]]]
"""Of one frame the number of its shot, and the meshes `(478, 2)` in its pixels by identity."""


def mesh(side: float = 120.0, x: float = 40.0, y: float = 40.0) -> NDArray[np.float32]:
    """Return the mesh of a face whose crop has this side and its corner at (x, y)."""
    points = np.random.default_rng(0).uniform(0.2, 0.8, (478, 2))
    points[list(crop.ANCHORS)] = crop.TEMPLATE
    return (points * side + (x, y)).astype(np.float32)


class ScriptedTracker:
    """Replaces `FaceTracker`."""

    def __init__(self, frames: Iterable[Seen], score: float = 1.0, dissolves: Mapping[int, Dissolve] = {}) -> None:
        """`dissolves`: by the frame in which they are noticed."""
        self._frames, self._score, self._dissolves = enumerate(frames), score, dissolves

    def track(self, image: NDArray[np.uint8]) -> TrackedFrame:
        frame, (shot, meshes) = next(self._frames)
        faces = [TrackedFace(found, self._score, number) for number, found in meshes.items()]
        return TrackedFrame(faces, shot, self._dissolves.get(frame))


def scripted_dissolve() -> Callable[[object], Dissolve | None]:
    """Replaces `DissolveDetector`: frames 18 to 28 of a film dissolve, as is noticed in frame 34."""
    numbers = count()
    return lambda thumbnail: Dissolve(17, 23, 29) if next(numbers) == 34 else None
