"""Finds what lies before a face: a hand, a microphone or a cup in front of mouth, chin or cheeks.

A small network compares a filmed crop with what was drawn over it. What the film shows and the drawing does not, unless
it is another mouth or another light, lies before the face, and stays as filmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import OUTER_LIP, Floats, filled, ranks
from lipsmith.inference.model_folder import find_model
from lipsmith.inference.onnx import open_session
from lipsmith.inference.render import planes

T = TypeVar("T", np.uint8, np.float32)
Covers = NDArray[np.float32]
"""`(S, S)` in [0, 1]: how far something lies before the face, in a crop."""

MODEL: Final = "occlusion"
"""Name of the shipped network."""
STAGE: Final = "occlusion.onnx"
CELLS: Final = (64, 32)
"""Columns and rows of cells in the lower half of a crop."""

_SURE, _LIKELY = 0.6, 0.3
"""Probability from which a cell shows an object, and from which one beside such cells does."""
_FEWEST: Final = 8
"""Sure cells of the smallest object."""
_LARGE: Final = 0.3
"""Share of the changed region, from which an object on lips need not reach beyond it."""
_MOUTH: Final = 0.05
"""Share of an object that lies on lips, from which it may be a mouth."""
_OUTSIDE: Final = 0.05
"""Mask below which a place is outside the changed region."""
_LIPS: Final = ranks(OUTER_LIP)
_EDGE: Final = np.ones((3, 3), np.uint8)
"""An object is widened by a cell: its edge is a mixture, which a cell beside the object may show."""


def occlusions(filmed: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> list[Covers | None]:
    """What lies before the faces of n crops; None where nothing does. Upper halves count as free.

    `filmed`, `drawn`: `(n, S, S, 3)`, source crops and what was rendered over them.
    """
    pictures = np.concatenate([cells(filmed), cells(drawn)], axis=-1)
    (found,) = _session().run(None, {"pictures": planes(pictures)})
    return [_covers(one, filmed.shape[1]) for one in found]


def before_faces(covers: Covers, mask: NDArray[np.float32], faces: Sequence[Floats]) -> Covers:
    """The objects except lips inside the region a dub changes: those are a mouth that the networks did not expect.

    `mask`: `(S, S)` in [0, 1], the region; places above it, such as the nose, are not beyond it. `faces`: points
    `(131, 2)` in crop units, as filmed and as rendered. Very large objects count in any case.
    """
    inside = mask >= _OUTSIDE
    beyond = ~inside & (np.cumsum(inside, axis=0) > 0) | ~inside.any(0)
    count, labels = cv2.connectedComponents((covers > 0).astype(np.uint8))
    reaches = np.bincount(labels[beyond], minlength=count) > 0
    lips = filled([points[_LIPS] for points in faces], len(covers))
    area, on_lips, changed = (
        np.bincount(labels.ravel(), weights=(covers * where).ravel(), minlength=count)
        for where in (np.ones_like(covers), lips, mask)
    )
    counts = reaches | (on_lips < _MOUTH * area) | (changed > _LARGE * mask.sum())
    return np.where(counts[labels], covers, np.float32(0))


def cells(crops: NDArray[T]) -> NDArray[T]:
    """Crops `(n, S, S, ...)` as the network sees them: the means of cells of their lower halves `(n, 32, 64, ...)`."""
    return np.stack([cv2.resize(crop[len(crop) // 2 :], CELLS, interpolation=cv2.INTER_AREA) for crop in crops])


def _covers(found: NDArray[np.float32], side: int) -> Covers | None:
    """The objects among probabilities `(32, 64)`."""
    if found.max() < _SURE:  # the usual case, without the work
        return None
    _, labels = cv2.connectedComponents((found >= _LIKELY).astype(np.uint8))
    sure = np.bincount(labels.ravel(), weights=(found >= _SURE).ravel())
    objects = (sure >= _FEWEST)[labels] & (labels > 0)
    if not objects.any():
        return None
    wide = cv2.dilate(objects.astype(np.float32), _EDGE)
    covers = np.zeros((side, side), np.float32)
    covers[side // 2 :] = cv2.GaussianBlur(cv2.resize(wide, (side, side // 2)), (0, 0), side / 128)
    return covers


@cache
def _session() -> Any:  # noqa: ANN401 - onnxruntime carries no types
    return open_session(find_model(MODEL).path / STAGE)
