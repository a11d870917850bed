"""Completes faces by references that other shots of the same person lend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.scan import ArrayStore, Face, Scan, Sizes
from lipsmith.face.lending import Lender, is_scarce, lent
from lipsmith.face.references import POOL, appearance, choose_landmarks, choose_lips

_NEAREST: Final = 12
"""Most shots that lend to one: those next to it, which are most likely in the same light."""


def with_lent(scan: Scan, store: ArrayStore, sizes: Sizes) -> Scan:
    """The scan, where each shot that lacks mouths of a person has them from the person's other shots.

    Raises `LipsmithError` if the temporary folder is full.
    """
    talking = {face.index: face for face in scan.faces if not is_scarce(face.pool_points[:])}
    lender = cache(lambda index: _lender(scan.faces[index]))

    def completed(face: Face) -> Face:
        person = [other for other in talking.values() if other.number == face.number]
        near = sorted(person, key=lambda other: abs(other.index - face.index))[:_NEAREST]
        rows = lent(lender(face.index), [lender(other.index) for other in near]) if near else []
        shots = [(other, chosen) for other, chosen in zip(near, rows, strict=True) if len(chosen)]
        return _completed(face, shots, store, sizes) if shots else face

    return replace(scan, faces=[face if face.index in talking else completed(face) for face in scan.faces])


def _lender(face: Face) -> Lender:
    points = face.pool_points[:]
    return Lender(points, appearance(face.pool[:], points), face.native.shape[2] if face.native else 0)


def _completed(face: Face, shots: Sequence[tuple[Face, NDArray[np.intp]]], store: ArrayStore, sizes: Sizes) -> Face:
    """The face with the given references of other shots, and fewer of its own where they would be more than `POOL`."""
    room = POOL - sum(len(rows) for _, rows in shots)
    kept = np.unique(np.linspace(0, len(face.pool) - 1, min(len(face.pool), room)).round().astype(int))

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(shot, name)[rows] for shot, rows in [(face, kept), *shots]])

    points = joined("pool_points")
    shapes = np.concatenate([face.landmarks, points[len(kept) :]])
    return replace(
        face,
        pool=store.put(joined("pool")),
        pool_points=store.put(points),
        pool_still=joined("pool_still"),
        lips=choose_lips(points, None, sizes.lips),
        landmarks=shapes[choose_landmarks(shapes, sizes.landmarks)],
        native=store.put(_native(face, kept, shots)) if face.native else None,
    )


def _native(face: Face, kept: NDArray[np.intp], shots: Sequence[tuple[Face, NDArray[np.intp]]]) -> NDArray[np.uint8]:
    """References at the size of the face's own."""
    assert face.native is not None
    _, height, width, _ = face.native.shape
    pictures = list(face.native[kept])
    for shot, rows in shots:
        assert shot.native is not None  # otherwise too coarse to be lent
        method = cv2.INTER_AREA if width < shot.native.shape[2] else cv2.INTER_CUBIC
        pictures += [cv2.resize(picture, (width, height), interpolation=method) for picture in shot.native[rows]]
    return np.stack(pictures)
