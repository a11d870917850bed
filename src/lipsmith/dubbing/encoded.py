"""Encodes the references of faces when they are first drawn, and finds those before which something lies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.paste.composite import soft_mask
from lipsmith.dubbing.scan import Face
from lipsmith.face.landmarks import Floats, draw_sketches, parts
from lipsmith.face.look import Appearance, Eyes, appearance, eyes_of, tone_of, unusual
from lipsmith.face.references import costs
from lipsmith.inference.backend import Backend
from lipsmith.inference.occlusion import occlusions, reaching_beyond
from lipsmith.inference.render import NEIGHBORS, EncodedFace, encode_face, render
from lipsmith.speech.mel import MEL_LIMIT, MELS, WINDOW

Image = NDArray[np.uint8]

_AT_ONCE: Final = 5
_DRAWN_FROM: Final = 5
"""References from which another one is drawn."""
_COVERED: Final = 0.01
"""Share of the changed region that is covered, from which a reference is."""


@dataclass(frozen=True)
class References:
    """The R references of one face."""

    encoded: EncodedFace
    """Encoded by the networks."""
    native: Callable[[int], Image] | None
    """The `NativeCrops` by their rank, each cut when it is first needed; None if they add no detail."""
    appearance: Appearance
    covered: NDArray[np.bool_]
    """(R,) whether something lies before the face that most of them do not show."""
    eyes: Eyes
    tone: NDArray[np.float64] | None
    """(3, 4), of monochrome footage; None in color."""


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
        encoded = encode_face(self.backend, images, points, face.pool_still, face.lips)
        look = appearance(images, points)
        return References(
            encoded,
            cache(face.native.__getitem__) if face.native else None,
            look,
            covered(self.backend, encoded, images, unusual(look)),
            eyes_of(images),
            tone_of(images),
        )


def covered(
    backend: Backend, face: EncodedFace, images: NDArray[np.uint8], suspected: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of R references `(R, S, S, 3)` show something before the face, `(R,)`, among those `suspected`; if some do,
    among the others, too: a finger has the color of skin, and where it stays, little is unusual.

    They are drawn from the others that are nearest, and compared with that, like frames.
    """
    found = _covered_among(backend, face, images, np.flatnonzero(suspected), ~suspected)
    return found | _covered_among(backend, face, images, np.flatnonzero(~found), ~found) if found.any() else found


def _covered_among(
    backend: Backend,
    face: EncodedFace,
    images: NDArray[np.uint8],
    rows: NDArray[np.intp],
    others: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """`covered` among the references `rows`, each drawn from `others` `(R,)` than itself."""
    found = np.zeros(len(images), bool)
    cost = costs(face.points[rows], face.points, face.still[rows], face.still)
    cost[:, ~others] = cost[np.arange(len(rows)), rows] = np.inf
    known = np.isfinite(cost).sum(1).min(initial=_DRAWN_FROM)
    if not known:
        return found
    chosen = np.argsort(cost, axis=1)[:, :known]
    for part in parts(len(rows), _AT_ONCE):
        some = rows[part]
        points, silence = face.points[some], np.full((len(some), MELS, WINDOW), -MEL_LIMIT, np.float32)
        sketches = np.repeat(draw_sketches(points, face.side)[:, None], 2 * NEIGHBORS + 1, axis=1)
        drawing = render(backend, face, images[some], points, face.still[some], sketches, silence, chosen[part])
        shares = [
            0.0 if covers is None else _share_of_mask(covers, own)
            for covers, own in zip(occlusions(images[some], drawing.images), points, strict=True)
        ]
        found[some] = np.array(shares) > _COVERED
    return found


def _share_of_mask(covers: NDArray[np.float32], points: Floats) -> float:
    mask = soft_mask(points, points, len(covers))
    return float((reaching_beyond(covers, mask) * mask).sum() / max(mask.sum(), 1e-6))
