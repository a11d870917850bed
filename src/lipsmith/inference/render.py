"""Runs the image networks on numpy crops: encodes a face once, then renders it with any pose and mouth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats, draw_sketches
from lipsmith.inference.backend import Backend

SIDE_BY_SIDE: Final = ("render",)
"""Stages that render several frames in parallel, one thread each, which is faster than all threads on one frame."""

_BATCH = 5
# A frame is rendered with its own sketch and those of two neighbors on either side.
_NEIGHBORS = np.arange(-2, 3)


@dataclass(frozen=True)
class EncodedFace:
    """The encoded references of one face: R references and m lip references.

    `images`: `(R, S, S, 3)` in 0..255; `points`: `(R, 131, 2)` and `still`: `(R, 2, 2)`, both in crop units; `fine`,
    `coarse`: features `(R, c, h, w)`; `lips`: features `(m, c, h, w)`.
    """

    images: NDArray[np.uint8]
    points: NDArray[np.float32]
    still: NDArray[np.float32]
    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    lips: NDArray[np.float32]


@dataclass(frozen=True)
class Drawing:
    """One rendered face in b frames, and the flow of its k references."""

    images: NDArray[np.uint8]
    """(b, S, S, 3)."""
    flow: NDArray[np.float32] | None
    """(b, k, 2, H, S) crop units: for the lower H rows, displacement from a target position to its position in each
    reference. None for a model without this output."""
    share: NDArray[np.float32] | None
    """(b, k, H/4, S/4): weight of each reference's detail."""


def encode_face(
    backend: Backend, images: NDArray[np.uint8], points: Floats, still: NDArray[np.float32], lips: NDArray[np.intp]
) -> EncodedFace:
    """Encode reference crops `(n, S, S, 3)` with points `(n, 131, 2)` and `lipsmith.face.crop.still_points`
    `(n, 2, 2)`.

    `lips`: indices of the lip references among them.
    """
    pictures, size = planes(images), images.shape[1]
    sketches = planes(draw_sketches(points, size)[..., None])
    encoded = [backend("reference", image=pictures[part], sketch=sketches[part]) for part in _parts(len(pictures))]
    (mouths,) = backend("lip", image=pictures[lips], sketch=sketches[lips])
    fine, coarse = (np.concatenate(level) for level in zip(*encoded, strict=True))
    return EncodedFace(images, np.asarray(points, np.float32), still, fine, coarse, mouths)


def render(
    backend: Backend,
    face: EncodedFace,
    targets: NDArray[np.uint8],
    points: Floats,
    still: NDArray[np.float32],
    sketches: NDArray[np.uint8],
    mel: NDArray[np.float32],
    references: NDArray[np.intp],
) -> Drawing:
    """Render the face with the mouth given by `points`, in b frames.

    `targets`: source crops `(b, S, S, 3)`; `points`: `(b, 131, 2)` and `still`: `(b, 2, 2)`, both in crop units;
    `sketches`: `(b, 5, S, S)`, the frame's sketch in the middle of its neighbors'; `mel`: `(b, 80, 16)`; `references`:
    `(b, k)` ranks in the pool.
    """
    image, *extra = backend(
        "render",
        target=planes(targets),
        sketches=sketches.astype(np.float32) / np.float32(255),
        points=np.asarray(points, np.float32),
        still=still,
        mel=mel[:, None],
        reference_images=planes(face.images[references]),
        reference_points=face.points[references],
        reference_still=face.still[references],
        fine=face.fine[references],
        coarse=face.coarse[references],
        lips=np.broadcast_to(face.lips, (len(targets), *face.lips.shape)),
    )
    return Drawing(pixels(image), *(extra or (None, None)))


def sketches_around(
    points: Floats, places: NDArray[np.intp], first: NDArray[np.intp], last: NDArray[np.intp], size: int
) -> NDArray[np.uint8]:
    """The sketches `(b, 5, size, size)` of the frames at `places` `(b,)` and of the two neighbors on either side.

    `points`: `(F, 131, 2)`, crop units. `first`, `last`: `(b,)`, the ends of each frame's run; beyond them the end is
    repeated.
    """
    indices = np.clip(places[:, None] + _NEIGHBORS, first[:, None], last[:, None])
    begin = int(indices.min())
    sketches = draw_sketches(points[begin : int(indices.max()) + 1], size)
    return np.asarray(sketches[indices - begin], np.uint8)


def planes(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images `(..., H, W, C)` in 0..255 as `(..., C, H, W)` in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(images, -1, -3), np.float32) / np.float32(255)


def pixels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Images `(n, C, H, W)` in [0, 1] as `(n, H, W, C)` in 0..255."""
    return np.ascontiguousarray((np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1))


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]
