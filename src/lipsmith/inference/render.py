"""Runs the image networks on numpy crops: encodes a face once, then renders it with any pose and mouth.

References are sampled between the networks, where OpenCV is much faster than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats, Rows, draw_sketches, mouth_box, parts
from lipsmith.inference.backend import Backend

_BATCH = 5
_HARDLY: Final = np.float32(1e-3)
"""Share of its weight that a reference keeps where it is covered: all of them may be."""
_CELL: Final = 4
"""Pixels of a cell in which guesses are made."""
NEIGHBORS: Final = 2
"""A frame is rendered with its own sketch and those of so many neighbors on either side."""
_AROUND: Final = np.arange(-NEIGHBORS, NEIGHBORS + 1)
# More than the frames need that are drawn at the same time.
_SKETCHES = 32


Samples = NDArray[np.float32]


@dataclass(frozen=True)
class EncodedFace:
    """The encoded references of one face: R references and m lip references."""

    sharp: NDArray[np.float32]
    """(R, S, S, 3) about [0, 1]: the crops, sharpened for sampling."""
    points: NDArray[np.float32]
    """(R, 131, 2) crop units."""
    still: NDArray[np.float32]
    """(R, 2, 2) crop units."""
    fine: NDArray[np.float32]
    """(R, S/2, S/2, c1): features."""
    coarse: NDArray[np.float32]
    """(R, S/4, S/4, c2 + 3): features and the small picture."""
    lips: NDArray[np.float32]
    """(m, c2, h, w): features."""
    covers: NDArray[np.float32] | None = None
    """(R, S/4, S/4, 1) in [0, 1]: what lies before the faces and is not lent; None if nothing does."""

    @property
    def side(self) -> int:
        """Side S of the crops, pixels."""
        return int(self.sharp.shape[1])


class Placed(NamedTuple):
    """Outputs of the stage `align` for b targets with k references; positions are crop units in each reference."""

    quarter: Samples
    """(b, k, 2, H/4, S/4)."""
    half: Samples
    """(b, k, 2, H/2, S/2)."""
    lower: Samples
    """(b, k, 2, H, S): of pixels below the lips' middle line."""
    upper: Samples
    """(b, k, 2, h, w): of pixels above it, in the mouth's box."""
    above: Samples
    """(b, h, w) in [0, 1]: the share of a pixel that is above it."""
    weight: Samples
    """(b, k, ., .), > 0, at the resolution of the network."""

    def of(self, target: int) -> Placed:
        """The same for one target, without the axis b."""
        return Placed(*(array[target] for array in self))

    def sides(self, rank: int) -> Samples:
        """Where the pixels of the only target lie in the reference `rank`, `(4, H, S)`: x and y as if every pixel were
        below the lips' middle line, and x and y as if those in the mouth's box were above it."""
        both = np.concatenate([self.lower[rank]] * 2)
        both[(slice(2, None), *mouth_box(*both.shape[1:]))] = self.upper[rank]
        return both

    def above_everywhere(self) -> Samples:
        """`above` of the only target in all computed rows, `(H, S)`."""
        rows, size = self.lower.shape[2:]
        everywhere = np.zeros((rows, size), np.float32)
        everywhere[mouth_box(rows, size)] = self.above
        return everywhere


@dataclass(frozen=True)
class Drawing:
    """One rendered face in b frames."""

    images: NDArray[np.uint8]
    """(b, S, S, 3)."""
    placed: Placed
    """Where the pixels of the lower rows lie in each of k references."""
    share: NDArray[np.float32]
    """(b, k, H/4, S/4): weight of each reference's detail."""


def encode_face(
    backend: Backend, images: NDArray[np.uint8], points: Floats, still: NDArray[np.float32], lips: NDArray[np.intp]
) -> EncodedFace:
    """Encode reference crops `(n, S, S, 3)` with points `(n, 131, 2)` and `lipsmith.face.crop.still_points`
    `(n, 2, 2)`.

    `lips`: indices of the lip references among them.
    """
    sketches = draw_sketches(points, images.shape[1])[..., None]

    def encoded(stage: str, rows: slice | NDArray[np.intp]) -> tuple[NDArray[np.float32], ...]:
        return backend(stage, image=planes(images[rows]), sketch=planes(sketches[rows]))

    levels: list[NDArray[np.float32]] = []
    # Written in place, because copies of all features would take as much memory again.
    for part in parts(len(images), _BATCH):
        found = [level.transpose(0, 2, 3, 1) for level in encoded("reference", part)]
        levels = levels or [np.empty((len(images), *level.shape[1:]), np.float32) for level in found]
        for level, rows in zip(levels, found, strict=True):
            level[part] = rows
    (mouths,) = encoded("lip", lips)
    fine, coarse, sharp = levels
    return EncodedFace(sharp, np.asarray(points, np.float32), still, fine, coarse, mouths)


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
    geometry = {"points": np.asarray(points, np.float32), "reference_points": face.points[references]}
    moving, standing, remoteness = backend("guess", **geometry, still=still, reference_still=face.still[references])
    half, top = face.side // 2, face.side - _CELL * remoteness.shape[2]
    target = {
        "known": planes(targets[:, top:half]),
        "sketches": sketches[:, :, top:].astype(np.float32) / np.float32(255),
    }
    guesses = {"moving": moving, "standing": standing}
    seen = {f"seen_{name}": sampled(face.coarse, references, guess) for name, guess in guesses.items()}
    *positions, fine, coarse = backend("align", **target, **geometry, **guesses, **seen, remoteness=remoteness)
    placed = _uncovered(face, references, Placed(*positions))
    warped = warp(face, references, placed)
    lower, share = backend(
        "paint",
        **target,
        mel=mel[:, None],
        lips=np.broadcast_to(face.lips, (len(targets), *face.lips.shape)),
        target_fine=fine,
        target_coarse=coarse,
        fine=warped.fine,
        coarse=warped.coarse,
        pictures=warped.pictures,
        weight=placed.weight,
    )
    images = targets.copy()
    images[:, half:] = pixels(lower)
    return Drawing(images, placed, share)


class Warped(NamedTuple):
    """k references of b targets in their places."""

    pictures: Samples
    """(b, k, H, S, 3)."""
    fine: Samples
    """(b, k, H/2, S/2, c1)."""
    coarse: Samples
    """(b, k, H/4, S/4, c2 + 3)."""


def sampled(level: Samples, rows: NDArray[np.intp], positions: Samples) -> Samples:
    """Pictures or features `level` `(R, N, N, c)` of references, at positions in crop units: `(..., h, w, c)`.

    `rows`: `(...)`, the references; `positions`: `(..., 2, h, w)`. Bilinear, to a 32nd of a pixel; outside, the nearest
    pixel of the border.
    """
    pixels, size = positions * np.float32(level.shape[1]) - np.float32(0.5), positions.shape[-2:]
    found = np.empty((rows.size, *size, level.shape[-1]), np.float32)
    for row, (x, y), out in zip(rows.ravel(), pixels.reshape(-1, 2, *size), found, strict=True):
        cv2.remap(level[row], x, y, cv2.INTER_LINEAR, dst=out, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(*rows.shape, *found.shape[1:])


def warp(face: EncodedFace, references: NDArray[np.intp], placed: Placed) -> Warped:
    """The `references` `(b, k)` in the places of b targets."""
    lower, upper = (sampled(face.sharp, references, side) for side in (placed.lower, placed.upper))
    fine, coarse = sampled(face.fine, references, placed.half), sampled(face.coarse, references, placed.quarter)
    return Warped(join_lips(lower, upper, placed.above), fine, coarse)


def _uncovered(face: EncodedFace, references: NDArray[np.intp], placed: Placed) -> Placed:
    """The same, but where something lies before the face of a reference, the others have the weight."""
    if face.covers is None:
        return placed
    hidden = sampled(face.covers, references, placed.quarter)[..., 0]
    return placed._replace(weight=placed.weight * np.maximum(1 - hidden, _HARDLY))


def join_lips(lower: Samples, upper: Samples, above: Samples) -> Samples:
    """Write into `lower` `(b, k, H, S, c)` the mean of both sides in the mouth's box, `(b, k, h, w, c)`, and return it.

    `above`: `(b, h, w)`, the share of the upper side.
    """
    box = (..., *mouth_box(*lower.shape[2:4]), slice(None))
    # Repeated, because numpy is slow at broadcasting along a short last axis.
    lower[box] += np.repeat(above[:, None, :, :, None], lower.shape[-1], -1) * (upper - lower[box])
    return lower


class Sketches:
    """Draws the sketches of the frames with `points` `(F, 131, 2)`, crop units, and keeps the last ones: of the five
    with which a frame is drawn, four are among those of the frame before."""

    def __init__(self, points: Rows) -> None:
        # A function without `self`: with it, the points and their file would wait for the garbage collector.
        @lru_cache(maxsize=_SKETCHES)
        def sketch(row: int, size: int) -> NDArray[np.uint8]:
            return np.asarray(draw_sketches(points[row : row + 1], size)[0], np.uint8)

        self._sketch = sketch

    def around(
        self, places: NDArray[np.intp], first: NDArray[np.intp], last: NDArray[np.intp], size: int
    ) -> NDArray[np.uint8]:
        """The sketches `(b, 5, size, size)` of the frames at `places` `(b,)` and of the two neighbors on either side.

        `first`, `last`: `(b,)`, the ends of each frame's run; beyond them the end is repeated.
        """
        indices = np.clip(places[:, None] + _AROUND, first[:, None], last[:, None]).tolist()
        return np.stack([np.stack([self._sketch(row, size) for row in of_frame]) for of_frame in indices])


def planes(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images `(..., H, W, C)` in 0..255 as `(..., C, H, W)` in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(images, -1, -3), np.float32) / np.float32(255)


def pixels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Images `(n, C, H, W)` in [0, 1] as `(n, H, W, C)` in 0..255."""
    return np.ascontiguousarray((np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1))
