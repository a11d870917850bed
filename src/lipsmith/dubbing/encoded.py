"""Encodes the references of faces when they are first drawn, and finds those before which something lies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from threading import Lock
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.paste.composite import soft_mask
from lipsmith.dubbing.paste.shut_lips import line_depth
from lipsmith.dubbing.scan import Face
from lipsmith.face.captions import inpainted
from lipsmith.face.landmarks import Floats, draw_sketches, parts
from lipsmith.face.look import Appearance, Eyes, appearance, eyes_of, tone_of, unusual
from lipsmith.face.references import costs
from lipsmith.inference.backend import Backend
from lipsmith.inference.occlusion import CELLS, Covers, before_faces, cells, occlusions
from lipsmith.inference.render import NEIGHBORS, EncodedFace, encode_face, render
from lipsmith.speech.mel import MEL_LIMIT, MELS, WINDOW

Image = NDArray[np.uint8]

_AT_ONCE: Final = 5
_SQUARE: Final = 4
"""Side, in cells, of the squares by whose means references are compared."""
_DRAWN_FROM: Final = 5
"""References from which another one is drawn."""
_LOOKALIKES: Final = 0.2
"""Share of the references from which another one is not drawn: those that look most like it may show the same."""
_COVERED: Final = 0.01
"""Share of the changed region that is covered, from which a reference is."""
_TRACE: Final = 0.1
"""Cover from which something of the object is seen."""
_ASKED: Final = 12
"""References by which `_understood` judges."""
_MOST: Final = 0.6
"""Share of the changed region that is more than what people hold before their faces all the time."""


@dataclass(frozen=True)
class References:
    """The R references of one face."""

    encoded: EncodedFace
    """Encoded by the networks."""
    native: Callable[[int], Image] | None
    """The `NativeCrops` by their rank, each cut when it is first needed; None if they add no detail."""
    line_depth: float | None
    """`lipsmith.dubbing.paste.shut_lips.line_depth`; None without native crops that show the line."""
    appearance: Appearance
    covered: NDArray[np.bool_]
    """(R,) whether something lies before the face."""
    understood: bool
    """Whether what lies before this face can be found."""
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
        understood = _understood(images, points)
        suspected, odd = unusual(look)
        covers = covers_of(self.backend, encoded, images, suspected if understood else suspected[:0], odd)
        native: Callable[[int], Image] | None = face.native.__getitem__ if face.native else None
        if covers.any():
            free = uncovered(images, covers)
            encoded = replace(encode_face(self.backend, free, points, face.pool_still, face.lips), covers=covers)
            native = native and partial(_native, native, free, covers)
        native = native and cache(native)
        return References(
            encoded=encoded,
            native=native,
            line_depth=line_depth(native, points) if native else None,
            appearance=look,
            covered=np.asarray(covers.any((1, 2, 3))),
            understood=understood,
            eyes=eyes_of(images),
            tone=tone_of(images),
        )


def covers_of(
    backend: Backend,
    face: EncodedFace,
    images: NDArray[np.uint8],
    suspected: NDArray[np.intp],
    odd: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """What lies before the faces of R references `(R, S, S, 3)`, as `EncodedFace.covers`: nothing, if nothing lies
    before one of the `suspected`.

    They are drawn from others that are near, and not `odd` `(R,)`, and compared with that, like frames. If something is
    found, all are drawn twice: only the second time is it known from which.
    """
    found, rows = _covers_among(backend, face, images, suspected, odd), np.arange(len(images))
    for _ in range(2 if found.any() else 0):
        known = replace(face, covers=found)
        found = _covers_among(backend, known, images, rows, odd | found.any((1, 2, 3)))
    return found


def uncovered(images: NDArray[np.uint8], covers: NDArray[np.float32]) -> NDArray[np.uint8]:
    """References `(R, S, S, 3)`, of which what `covers` them looks like what surrounds it: that is seen where no other
    one is free."""
    free = images.copy()
    for rank in np.flatnonzero(covers.any((1, 2, 3))):
        free[rank] = inpainted(images[rank], (_enlarged(covers[rank], images.shape[1]) > _TRACE).view(np.uint8))
    return free


def _native(native: Callable[[int], Image], free: NDArray[np.uint8], covers: NDArray[np.float32], rank: int) -> Image:
    """A native crop `(rows, N, 4)`; of what is covered, what `free` `(R, S, S, 3)` has."""
    crop = native(rank)
    if not covers[rank].any():
        return crop
    rows, side = crop.shape[:2]
    smooth = cv2.cvtColor(
        cv2.resize(free[rank], (side, side), interpolation=cv2.INTER_CUBIC)[-rows:], cv2.COLOR_RGB2RGBA
    )
    share = np.minimum(1, _enlarged(covers[rank], side)[-rows:, :, None] / _TRACE)
    return np.asarray(np.round(crop + share * (smooth.astype(np.float32) - crop)), np.uint8)


def _enlarged(covers: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(covers[..., 0], (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def _covers_among(
    backend: Backend,
    face: EncodedFace,
    images: NDArray[np.uint8],
    rows: NDArray[np.intp],
    odd: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """`EncodedFace.covers` of the references `rows`, all of which are drawn; of the others nothing is known."""
    found = np.zeros((len(images), face.side // 4, face.side // 4, 1), np.float32)
    cost = costs(face.points[rows], face.points, face.still[rows], face.still)
    cost[:, odd & ~odd.all()] = np.inf
    np.put_along_axis(cost, _lookalikes(images, rows), np.inf, axis=1)
    known = max(1, np.isfinite(cost).sum(1).min(initial=_DRAWN_FROM))
    chosen = np.argsort(cost, axis=1)[:, :known]
    for part in parts(len(rows), _AT_ONCE):
        some = rows[part]
        points, silence = face.points[some], np.full((len(some), MELS, WINDOW), -MEL_LIMIT, np.float32)
        sketches = np.repeat(draw_sketches(points, face.side)[:, None], 2 * NEIGHBORS + 1, axis=1)
        drawing = render(backend, face, images[some], points, face.still[some], sketches, silence, chosen[part])
        for row, covers, own in zip(some, occlusions(images[some], drawing.images), points, strict=True):
            if covers is not None:
                found[row, ..., 0] = _before(covers, own, found.shape[1])
    return found


def _lookalikes(images: NDArray[np.uint8], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of each of the `rows` of R references `(R, S, S, 3)`, itself and those that look most like it, `(n, k)`."""
    height, width = CELLS[1] // _SQUARE, CELLS[0] // _SQUARE
    means = cells(images).reshape(len(images), height, _SQUARE, width, _SQUARE, 3).mean((2, 4), dtype=np.float32)
    # Mostly skin: what is behind a face does not tell what is before it, nor does the light on all of it.
    skin = means[:, 1:, width // 5 : -(width // 5)]
    skin /= np.maximum(skin.mean((1, 2, 3), keepdims=True), 1e-6)  # some are black
    apart = np.square(skin[rows, None] - skin).sum((2, 3, 4))
    return np.argsort(apart, axis=1)[:, : 1 + int(_LOOKALIKES * len(images))]


def _understood(images: NDArray[np.uint8], points: Floats) -> bool:
    """Whether most of the face is free in most of R references `(R, S, S, 3)`, each compared with another one as if
    that were drawn. Otherwise stripes of light, paint or a veil, which is how the face looks, are taken for an object.
    """
    some = np.arange(0, len(images), max(1, len(images) // _ASKED))
    found = occlusions(images[some], images[np.roll(some, 1)])
    return float(np.median([_share(*one) for one in zip(found, points[some], strict=True)])) < _MOST


def _share(covers: Covers | None, points: Floats) -> float:
    """The share of the changed region that is covered."""
    if covers is None:
        return 0.0
    mask = soft_mask(points, points, len(covers))
    return float((before_faces(covers, mask, [points]) * mask).sum() / max(mask.sum(), 1e-6))


def _before(covers: Covers, points: Floats, side: int) -> NDArray[np.float32]:
    """What of `covers` lies before a face with `points`, `(side, side)`: nothing, if it is less than `_COVERED`."""
    if _share(covers, points) <= _COVERED:
        return np.zeros((side, side), np.float32)
    before = before_faces(covers, soft_mask(points, points, len(covers)), [points])
    return np.asarray(cv2.resize(before, (side, side), interpolation=cv2.INTER_AREA), np.float32)
