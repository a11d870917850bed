"""The face crop: a similarity transform that follows the head and does not depend on the mouth.

A box around the whole face includes the chin, so its height would reveal the jaw opening to the networks. Here only
points that speech does not move are fitted to a fixed template; content points do not affect the crop.

Transforms are `(2, 3)` matrices `[[a, -b, x], [b, a, y]]` from source pixels to crop units, in which the crop is
[0, 1] x [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats, ranks
from lipsmith.media.color import FilmedPicture, Picture

UNIT_SQUARE: Final = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
"""(4, 2): corners of a crop in its own units."""

# Eye corners, the bridge and tip of the nose, the temples: they move with the skull, not with speech.
ANCHORS: Final = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 162, 127, 234, 389, 356, 454)
_ANCHORS: Final = ranks(ANCHORS)
# On a turned head the temples of the mesh are inaccurate, so they weigh less than the eyes and the nose.
WEIGHTS: Final = np.array([1.0] * 10 + [0.4] * 6)
# Crop positions of the anchors of an average frontal face; mirror-symmetric. Generalized Procrustes mean over 135
# people, placed so that their widest open jaw stays inside the crop and no lip reaches the upper half.
TEMPLATE: Final = np.array(
    [
        (0.2828, 0.3311),
        (0.4159, 0.3385),
        (0.5841, 0.3385),
        (0.7172, 0.3311),
        (0.5000, 0.3104),
        (0.5000, 0.3497),
        (0.5000, 0.3843),
        (0.5000, 0.4147),
        (0.5000, 0.4471),
        (0.5000, 0.4876),
        (0.1588, 0.2717),
        (0.1505, 0.3491),
        (0.1525, 0.4230),
        (0.8412, 0.2717),
        (0.8495, 0.3491),
        (0.8475, 0.4230),
    ]
)

SMOOTHING_SECONDS: Final = 0.06
_FARTHEST: Final = 0.02
"""Largest distance, crop units, that smoothing moves a crop: heads stay below it, shaken cameras do not."""


@dataclass(frozen=True)
class Square:
    """A square region of a picture, in source pixels (the center of the first pixel is (0.5, 0.5))."""

    x: float
    """Center."""
    y: float
    """Center."""
    side: float
    """Side, > 0."""
    angle: float = 0.0
    """Direction of the square's x axis in radians, clockwise in the picture (y points down)."""

    def scaled(self, factor: float) -> Square:
        """The same square, scaled by `factor` about its center."""
        return replace(self, side=self.side * factor)

    def divided(self, factor: float) -> Square:
        """The same region of a picture that is `factor` times smaller."""
        return Square(self.x / factor, self.y / factor, self.side / factor, self.angle)

    def to_source(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Source pixels of points (..., 2) given in [0, 1] of the square."""
        cos, sin = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        source = (np.asarray(points, np.float64) - 0.5) @ np.array([[cos, sin], [-sin, cos]]) + (self.x, self.y)
        return np.asarray(source, np.float32)

    def pixels(self, image: Picture, size: int, border: int = cv2.BORDER_CONSTANT) -> NDArray[np.uint8]:
        """The region (size, size, 3) of image (H, W, 3), bilinear; `border` as in OpenCV."""
        step = max(1, int(self.side / size))
        if step > 1:  # bilinear sampling would skip pixels: average them first
            part = shrink(image, self.to_source(UNIT_SQUARE), step, 2 * step)
            left, top = part.origin.tolist()
            return replace(self, x=self.x - left, y=self.y - top).divided(step).pixels(part.image, size, border)
        cos, sin = self.side / size * math.cos(self.angle), self.side / size * math.sin(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        # OpenCV puts pixel centers at whole numbers: half a pixel is added, then subtracted.
        corner = np.array([self.x, self.y]) - 0.5 - linear.sum(1) * ((size - 1) / 2)
        return _sampled(image, np.column_stack([linear, corner]), size, cv2.INTER_LINEAR, border)


def around(points: NDArray[np.floating], angle: float, scale: float) -> Square:
    """The square at `angle` around points (n, 2): side = long side of their box in that direction times `scale`."""
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    own = points @ turn
    low, high = own.min(0), own.max(0)
    x, y = turn @ ((low + high) / 2)
    return Square(float(x), float(y), float((high - low).max()) * scale, angle)


def direction(start: NDArray[np.floating], end: NDArray[np.floating]) -> float:
    """Angle of the vector from start to end, radians."""
    return math.atan2(float(end[1] - start[1]), float(end[0] - start[0]))


class Part(NamedTuple):
    """A copied part of a picture."""

    image: NDArray[np.uint8]
    """(h, w, 3)."""
    origin: NDArray[np.int64]
    """(2,): corner (x, y) in the picture, pixels."""
    step: NDArray[np.float64]
    """(2,): pixels of the picture per pixel of the part, horizontally and vertically."""

    def own(self, transform: Floats) -> NDArray[np.float64]:
        """`transform` `(2, 3)` from the picture's pixels, rewritten for this part's pixels."""
        linear = transform[:, :2]
        return np.column_stack([linear * self.step, transform[:, 2] + linear @ self.origin])


def shrink(image: Picture, around: Floats, factor: int, margin: float = 0.0) -> Part:
    """The part of an image `(H, W, 3)` around points `(n, 2)`, pixels, as means of `factor` x `factor` pixels.

    `margin`: pixels on each side. The grid of means is fixed to the picture, so that a static background does not
    flicker while the part moves; up to `factor - 1` pixels at the picture's right and lower edges are omitted. For
    points outside the picture the nearest pixels are used, so that the part is never empty.
    """
    ends = np.array(image.shape[1::-1])
    low = np.floor(np.clip(around.min(0) - margin, 0, ends - 1)).astype(int) // factor * factor
    high = np.ceil(np.clip(around.max(0) + margin + factor - 1, 0, ends)).astype(int) // factor * factor
    (x0, y0), (x1, y1) = low, np.maximum(high, low + factor)
    if not isinstance(image, np.ndarray) and not image.patches and factor % 2 == 0 and (high > low).all():
        return Part(_filmed_means(image, slice(y0, y1), slice(x0, x1), factor), low, np.full(2, float(factor)))
    part = image[y0:y1, x0:x1]
    covered = np.array(part.shape[1::-1])
    size = np.maximum(covered // factor, 1)
    small = cv2.resize(part, size.tolist(), interpolation=cv2.INTER_AREA)
    return Part(np.asarray(small, np.uint8), low, covered / size)


def _filmed_means(image: FilmedPicture, rows: slice, columns: slice, factor: int) -> NDArray[np.uint8]:
    """Means as of `shrink`, by an even factor that divides all sides; only they are converted to RGB, which is faster.

    Chroma is first averaged over the 2 x 2 pixels that share it, as `FilmedPicture` would interpolate it.
    """
    cells = slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)
    across, down = np.array([3, 1]) / 4, np.array([1, 6, 1]) / 8
    chroma = (
        cv2.sepFilter2D(image.plane(number)[cells], -1, across, down, anchor=(0, 1), borderType=cv2.BORDER_REPLICATE)
        for number in (1, 2)
    )
    size = ((columns.stop - columns.start) // factor, (rows.stop - rows.start) // factor)
    planes = (image.plane(0)[rows, columns], *chroma)
    codes = cv2.merge([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes])
    return np.asarray(cv2.transform(codes, image.to_rgb), np.uint8)


def fit_transforms(points: Floats) -> NDArray[np.float64]:
    """Similarities `(F, 2, 3)` that map each frame's anchors to the template; `points`: `(F, 131, 2)` in pixels."""
    return similarity(points[:, _ANCHORS], TEMPLATE, WEIGHTS)


def similarity(points: Floats, target: Floats, weights: Floats) -> NDArray[np.float64]:
    """Similarities `(..., 2, 3)` that map points `(..., N, 2)` to `target` `(N, 2)` with the least squares, of which
    each counts by its weight `(N,)`."""
    source, onto = (np.asarray(given, np.float64) @ (1, 1j) for given in (points, target))
    share = weights / weights.sum()
    source_mean, onto_mean = source @ share, onto @ share
    centered = source - source_mean[..., None]
    factor = (np.conj(centered) * (onto - onto_mean)) @ share / ((np.abs(centered) ** 2) @ share)
    return _matrices(factor, onto_mean - factor * source_mean)


def smooth_transforms(transforms: Floats, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transforms `(F, 2, 3)` of one shot, at `times` `(F,)` in seconds, smoothed over time by a Gaussian.

    Scale, angle and the source position of the crop's center are smoothed, so a moving head stays centered, also where
    the camera shakes. At the ends the window shrinks symmetrically, which preserves a steady motion.
    """
    factor, shift = _complex(transforms)
    center = (0.5 + 0.5j - shift) / factor
    log = np.log(np.abs(factor)) + 1j * np.unwrap(np.angle(factor))
    smooth_log, smooth_center = _gaussian(np.stack([log, center]), times)
    away = smooth_center - center
    smooth_center = center + away * np.minimum(1, _FARTHEST / np.maximum(np.abs(away * factor), _FARTHEST))
    smooth_factor = np.exp(smooth_log)
    return _matrices(smooth_factor, 0.5 + 0.5j - smooth_factor * smooth_center)


def invert(transforms: Floats) -> NDArray[np.float64]:
    """The exact inverses `(..., 2, 3)`: crop units to source pixels."""
    factor, shift = _complex(transforms)
    return _matrices(1 / factor, -shift / factor)


def apply(transforms: Floats, points: Floats) -> NDArray[np.float64]:
    """Points `(..., N, 2)` mapped by transforms `(..., 2, 3)`."""
    linear = np.asarray(transforms, np.float64)
    moved: NDArray[np.float64] = points @ np.swapaxes(linear[..., :2], -1, -2) + linear[..., None, :, 2]
    return moved


def still_points(transforms: Floats) -> NDArray[np.float32]:
    """Crop coordinates `(..., 2, 2)` of two fixed background points: the picture's corner and 100 pixels to its right.

    `transforms`: `(..., 2, 3)`. The points of two crops give the motion of the background between the crops.
    """
    return apply(transforms, np.array([[0.0, 0.0], [100.0, 0.0]])).astype(np.float32)


def to_pixels(transform: Floats, size: int) -> NDArray[np.float64]:
    """The transform `(2, 3)` from source to crop pixels as OpenCV counts: the first one's center is at (0, 0)."""
    matrix = np.asarray(transform, np.float64) * size
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return matrix


def crop_image(image: Picture, transform: Floats, size: int, end: int | None = None) -> NDArray[np.uint8]:
    """The crop `(size, size, 3)` of an image `(H, W, 3)`; outside the image, and from the row `end` on, its border is
    repeated."""
    reduction = max(1, int(crop_side(transform) / size))
    if reduction >= 2 or end is not None:
        part = shrink(image, apply(invert(transform), UNIT_SQUARE), reduction, 2 * reduction)
        rows = None if end is None else max(1, int((end - part.origin[1]) // part.step[1]))
        image, transform = part.image[:rows], part.own(transform)
    back = np.asarray(cv2.invertAffineTransform(to_pixels(transform, size)), np.float64)
    return _sampled(image, back, size, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)


def _sampled(
    image: Picture, back: NDArray[np.float64], size: int, interpolation: int, border: int
) -> NDArray[np.uint8]:
    """Pixels `(size, size, 3)` of an image `(H, W, 3)`; `back`: `(2, 3)`, from theirs to its own, as OpenCV counts."""
    corners = apply(back, UNIT_SQUARE * (size - 1))
    x, y = (_reach(ends, length) for ends, length in zip(corners.T, image.shape[1::-1], strict=True))
    back = back - np.array([[0, 0, x.start], [0, 0, y.start]])

    def warped(pixels: NDArray[np.uint8], back: NDArray[np.float64], flags: int, outside: int) -> NDArray[np.uint8]:
        flags, beyond = flags | cv2.WARP_INVERSE_MAP, (outside,) * 4
        found = cv2.warpAffine(pixels, back, (size, size), flags=flags, borderMode=border, borderValue=beyond)
        return np.asarray(found, np.uint8)

    if isinstance(image, np.ndarray) or image.patches:
        return warped(image[y, x], back, interpolation, 0)
    # Converted to RGB last, which is faster, as are four channels instead of two.
    cells = slice(y.start // 2, y.stop // 2), slice(x.start // 2, x.stop // 2)
    blue, red = (image.plane(number)[cells].copy() for number in (1, 2))  # whole rows merge 15 times as fast
    chroma = np.asarray(cv2.merge([blue, red, blue, red]), np.uint8)
    luma = warped(image.plane(0)[y, x], back, interpolation, 0 if image.full else 16)
    of_chroma = warped(chroma, back / 2 - np.array([[0, 0, 0], [0, 0, 0.25]]), cv2.INTER_LINEAR, 128)
    codes = np.empty((size, size, 3), np.uint8)
    cv2.mixChannels([luma, of_chroma], [codes], [0, 0, 1, 1, 2, 2])
    return np.asarray(cv2.transform(codes, image.to_rgb), np.uint8)


def _reach(ends: Floats, length: int) -> slice:
    """The pixels that sampling between `ends` needs, whole cells of chroma, of `length` in a row or column."""
    low = min(max(int(ends.min()) - 2, 0), max(length - 2, 0)) // 2 * 2
    return slice(low, min(max(int(ends.max()) // 2 * 2 + 6, low + 2), length))


def crop_side(transform: Floats) -> float:
    """Side of the crop of a transform `(2, 3)`, pixels of the film."""
    return float(1 / np.hypot(transform[0, 0], transform[1, 0]))


def _complex(transforms: Floats) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    matrices = np.asarray(transforms, np.float64)
    return matrices[..., 0, 0] + 1j * matrices[..., 1, 0], matrices[..., 0, 2] + 1j * matrices[..., 1, 2]


def _matrices(factor: NDArray[np.complex128], shift: NDArray[np.complex128]) -> NDArray[np.float64]:
    rows = [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _gaussian(values: NDArray[np.complex128], times: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Values `(C, F)` averaged over time with Gaussian weights, in windows symmetric about each frame."""
    frames = len(times)
    step = float(np.median(np.diff(times))) if frames > 1 else SMOOTHING_SECONDS
    reach = max(1, round(3 * SMOOTHING_SECONDS / max(step, 1e-6)))
    offsets = np.arange(-reach, reach + 1)
    index = np.arange(frames)
    room = np.minimum(index, index[::-1])
    inside = np.abs(offsets)[None] <= room[:, None]
    neighbors = np.clip(index[:, None] + offsets, 0, frames - 1)
    weights = inside * np.exp(-0.5 * ((times[neighbors] - times[:, None]) / SMOOTHING_SECONDS) ** 2)
    weights /= weights.sum(1, keepdims=True)
    return np.asarray(np.einsum("cfk,fk->cf", values[:, neighbors], weights), np.complex128)
