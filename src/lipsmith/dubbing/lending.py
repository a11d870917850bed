"""Completes the faces of silent shots by references that other shots of the same person lend."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.paste.native import NativeCrops
from lipsmith.dubbing.scan import ArrayStore, Face, Scan, Sizes
from lipsmith.errors import counted
from lipsmith.face.lending import Lender, is_scarce, lent
from lipsmith.face.look import appearance
from lipsmith.face.references import POOL, choose_landmarks, choose_pool, encoded, sharpness_of

_LOG = logging.getLogger(__name__)

_NEAREST: Final = 12
"""Most shots that lend to one: those next to it, which are most likely in the same light."""


def with_lent(scan: Scan, store: ArrayStore, sizes: Sizes) -> Scan:
    """The scan, where shots in which a person hardly moves the mouth have mouths of shots in which the person talks.

    References take the room of those that they replace in `store`, so the faces of the given `scan` are of no more use.
    Raises `LipsmithError` if the temporary folder is full.
    """
    talking = {face.index: face for face in scan.faces if not is_scarce(face.pool_points[:])}
    lender = cache(lambda index: _lender(scan.faces[index]))

    def helped(face: Face) -> Face:
        person = [other for other in talking.values() if other.number == face.number]
        near = sorted(person, key=lambda other: abs(other.index - face.index))[:_NEAREST]
        rows = lent(lender(face.index), [lender(other.index) for other in near]) if near else []
        shots = [(other, chosen) for other, chosen in zip(near, rows, strict=True) if len(chosen)]
        if not shots:
            return face
        count = counted(sum(len(chosen) for _, chosen in shots), "reference")
        _LOG.info("face %d in shot %d: %s from other shots", face.number, face.shot, count)
        return _completed(face, shots, store, sizes)

    return replace(scan, faces=[face if face.index in talking else helped(face) for face in scan.faces])


def _lender(face: Face) -> Lender:
    points = face.pool_points[:]
    return Lender(points, appearance(face.pool[:], points), face.size)


def _completed(face: Face, shots: Sequence[tuple[Face, NDArray[np.intp]]], store: ArrayStore, sizes: Sizes) -> Face:
    """The face with the given references of other shots, and fewer of its own where they would be more than `POOL`."""
    room = POOL - sum(len(rows) for _, rows in shots)
    kept = np.unique(np.linspace(0, len(face.pool) - 1, min(len(face.pool), room)).round().astype(int))

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(shot, name)[rows] for shot, rows in [(face, kept), *shots]])

    crops, points = joined("pool"), joined("pool_points")
    shapes = np.concatenate([face.landmarks, points[len(kept) :]])
    # Another shot's background says nothing here: as if its references had the place of the face's own.
    still = np.median(face.pool_still, axis=0)[None].repeat(len(points) - len(kept), axis=0)
    return replace(
        face,
        pool=store.put(crops, face.pool),
        pool_points=store.put(points),
        pool_still=np.concatenate([face.pool_still[kept], still]),
        lips=choose_pool(points, np.array([sharpness_of(crop[len(crop) // 2 :]) for crop in crops]), sizes.lips),
        landmarks=shapes[choose_landmarks(shapes)],
        native=store.put_native(_native(face.native, kept, shots)) if face.native else None,
    )


def _native(own: NativeCrops, kept: NDArray[np.intp], shots: Sequence[tuple[Face, NDArray[np.intp]]]) -> NativeCrops:
    """The references that are `kept` and those of other shots, at the size of the face's own."""
    lenders = [(own, kept), *((shot.native or _as_native(shot), rows) for shot, rows in shots)]
    chosen = [(lender, rank) for lender, ranks in lenders for rank in ranks.tolist()]
    jpegs = [lender.jpeg(rank) for lender, rank in chosen]
    return NativeCrops.of(jpegs, [lender.transforms[rank] for lender, rank in chosen], own.side)


def _as_native(face: Face) -> NativeCrops:
    """The crops of the networks, which are as good for a small face."""
    crops = face.pool[:]
    side = crops.shape[1]
    return NativeCrops.of([encoded(crop) for crop in crops], [np.eye(2, 3) / side] * len(crops), side)
