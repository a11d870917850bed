"""The references of faces, encoded when a face is first drawn."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.scan import Face
from lipsmith.face.appearance import Appearance, appearance
from lipsmith.inference.backend import Backend
from lipsmith.inference.render import EncodedFace, encode_face


@dataclass(frozen=True)
class References:
    """The R references of one face."""

    encoded: EncodedFace
    """Encoded by the networks."""
    native: NDArray[np.uint8] | None
    """(R, rows, N, 3): at the film's resolution, from `detail.TOP` down; None if that adds no detail."""
    appearance: Appearance


class EncodedFaces:
    """A thread-safe cache of encoded faces, at most `most`: those of one frame, as all of a film would fill memory."""

    def __init__(self, backend: Backend, most: int) -> None:
        self.backend, self.most = backend, most
        self._known: OrderedDict[int, References] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, face: Face) -> References:
        with self._lock:
            if face.index not in self._known:
                while len(self._known) >= self.most:  # before the next one takes memory, too
                    self._known.popitem(last=False)
                self._known[face.index] = self._encoded(face)
            self._known.move_to_end(face.index)
            return self._known[face.index]

    def _encoded(self, face: Face) -> References:
        images, points = np.asarray(face.pool), face.pool_points[:]
        return References(
            encode_face(self.backend, images, points, face.pool_still, face.lips),
            np.asarray(face.native) if face.native else None,
            appearance(images, points),
        )
