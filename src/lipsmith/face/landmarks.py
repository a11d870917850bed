"""The 131 points of the 478-point face mesh that the networks use, and measures computed from them.

Numbering: MediaPipe's face mesh. Order: 74 pose points, which speech does not move, then 57 content points (jaw,
outer lip, inner lip). Left and right are the person's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


class Rows(Protocol):
    """An array with a row for each frame, in memory or on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> NDArray[Any]: ...  # noqa: ANN401 - any index of an array


CONTOUR: Final = (162, 127, 234, 93, 323, 454, 356, 389)
RIGHT_BROW: Final = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW: Final = (336, 296, 334, 293, 300, 276, 283, 282, 295, 285)
NOSE: Final = (168, 6, 197, 195, 5, 48, 115, 220, 45, 4, 275, 440, 344, 278)
RIGHT_EYE: Final = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE: Final = (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382)
JAW: Final = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)
OUTER_LIP: Final = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
INNER_LIP: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
UPPER_INNER: Final = INNER_LIP[1:10]
LOWER_INNER: Final = INNER_LIP[:10:-1]
"""From corner to corner, each below its partner of the upper lip."""

POSE: Final = CONTOUR + RIGHT_BROW + LEFT_BROW + NOSE + RIGHT_EYE + LEFT_EYE
CONTENT: Final = JAW + OUTER_LIP + INNER_LIP
POINTS: Final = POSE + CONTENT

NUM_MESH: Final = 478
NUM_POSE: Final = len(POSE)
NUM_CONTENT: Final = len(CONTENT)
NUM_JAW: Final = len(JAW)
NUM_LIPS: Final = NUM_CONTENT - NUM_JAW
NUM_POINTS: Final = len(POINTS)

# Warping corrects a slightly different pose but cannot add teeth, so lips weigh most and the jaw least.
POSE_WEIGHT: Final = 1.0
JAW_WEIGHT: Final = 0.5
LIPS_WEIGHT: Final = 2.0
MOUTH: Final = (0.25, 0.46875, 0.75, 0.9375)
"""Left, top, right and bottom, crop units, of the box that contains the lips of any crop with a margin: the lips of 155
people span 0.33 to 0.67 in x and 0.56 to 0.83 in y (0.1th and 99.9th percentile)."""

TOUCHING: Final = 1 / 128
"""Opening, crop units, below which lips touch: a pixel of the networks."""
_OFF_LIPS: Final = 3 / 128
"""Deviation, as a share of the crop's side, of the blur that keeps the inside of the mouth off the lips."""

_RANK: Final = {point: rank for rank, point in enumerate(POINTS)}


def ranks(points: tuple[int, ...]) -> list[int]:
    """Indices among the 131 points of the mesh numbers `points`."""
    return [_RANK[point] for point in points]


def select(mesh: Floats) -> Floats:
    """The 131 points `(..., 131, 2)` of meshes `(..., 478, 2 or 3)`; depth is dropped."""
    return mesh[..., POINTS, :2]


def split(points: Floats) -> tuple[Floats, Floats]:
    """Pose `(..., 74, 2)` and content `(..., 57, 2)` of points `(..., 131, 2)`."""
    return points[..., :NUM_POSE, :], points[..., NUM_POSE:, :]


def lip_opening(points: Floats) -> Floats:
    """Distance between the middles of the inner lips (mesh points 13 and 14), `(...)`, of points `(..., 131, 2)` or of
    their content `(..., 57, 2)`."""
    return _apart(points, 13, 14)


def outer_lip_opening(points: Floats) -> Floats:
    """Distance between the middles of the outer lips (mesh points 0 and 17), by which references are ranked."""
    return _apart(points, 0, 17)


def mouth_width(points: Floats) -> Floats:
    """Distance between the mouth corners (mesh points 61 and 291), `(...)`, of points `(..., 131, 2)`."""
    return _apart(points, 61, 291)


def _apart(points: Floats, *pair: int) -> Floats:
    """Distance of two mesh points; their ranks are counted from the end, where content alone has the same ones."""
    one, other = (rank - NUM_POINTS for rank in ranks(pair))
    distance: Floats = np.linalg.norm(points[..., one, :] - points[..., other, :], axis=-1)
    return distance


def distances(target: Floats, pool: Floats) -> NDArray[np.float32]:
    """Weighted root-mean-square distances `(F, R)` of points, crop units; see `point_weights`."""
    weights = point_weights()
    b = (pool * weights).reshape(len(pool), -1).astype(np.float32)
    found = np.empty((len(target), len(pool)), np.float32)
    for part in parts(len(target)):
        a = (target[part] * weights).reshape(-1, b.shape[1]).astype(np.float32)
        squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
        found[part] = np.sqrt(np.maximum(squared, 0))
    return found


def mouth_box(rows: int, size: int) -> tuple[slice, slice]:
    """Rows and columns of the box `MOUTH` in the lower `rows` of a crop of side `size`, pixels, in multiples of 4."""
    left, top, right, bottom = (4 * round(edge * size / 4) for edge in MOUTH)
    first = size - rows
    return slice(max(top, first) - first, bottom - first), slice(left, right)


def parts(frames: int, length: int = 1024) -> Iterator[slice]:
    """Slices of at most `length` that cover `frames`, because temporary arrays over a long film would fill memory."""
    return (slice(start, min(start + length, frames)) for start in range(0, frames, length))


def point_weights() -> NDArray[np.float32]:
    """Factors `(131, 1)` on coordinates that make the squared sum a weighted mean of squared distances."""
    lips = slice(NUM_POSE + NUM_JAW, None)
    weights = np.empty((NUM_POINTS, 1), np.float32)
    for part, weight in (
        (slice(NUM_POSE), POSE_WEIGHT),
        (slice(NUM_POSE, lips.start), JAW_WEIGHT),
        (lips, LIPS_WEIGHT),
    ):
        weights[part] = np.sqrt(weight / len(weights[part]))
    return weights


def turn(points: Floats) -> NDArray[np.float64]:
    """Rotation of heads `(..., 131, 2)` to the side, from 0 (frontal) to 1 (profile)."""
    to_right, to_left = _apart(points, 4, 234), _apart(points, 4, 454)
    aside: NDArray[np.float64] = np.abs(to_right - to_left) / np.maximum(to_right + to_left, 1e-9)
    return aside


def _mirror_partners() -> list[int]:
    """For each of the 131 points, the index of its mirror partner."""
    halves = [
        (CONTOUR, CONTOUR[::-1]),
        (RIGHT_BROW, (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)),
        (NOSE, (168, 6, 197, 195, 5, 278, 344, 440, 275, 4, 45, 220, 115, 48)),
        (RIGHT_EYE, (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)),
        (JAW, JAW[::-1]),
        (OUTER_LIP, OUTER_LIP[10::-1] + OUTER_LIP[:10:-1]),
        (INNER_LIP, INNER_LIP[10::-1] + INNER_LIP[:10:-1]),
    ]
    partner: dict[int, int] = {}
    for points, opposite in halves:
        for a, b in zip(points, opposite, strict=True):
            partner[a], partner[b] = b, a
    return ranks(tuple(partner[point] for point in POINTS))


MIRROR: Final = _mirror_partners()
_JAW: Final = ranks(JAW)
_MOUTH_CROSS: Final = ranks((61, 291, 0, 17))
_TEMPLES: Final = ranks((454, 234))

CLOSED_CHAINS: Final = tuple(ranks(chain) for chain in (OUTER_LIP, INNER_LIP, RIGHT_EYE, LEFT_EYE))
OPEN_CHAINS: Final = tuple(
    ranks(chain)
    for chain in (
        CONTOUR[:4] + JAW + CONTOUR[4:],  # from ear to ear through the chin
        RIGHT_BROW[:5],
        RIGHT_BROW[5:],
        LEFT_BROW[:5],
        LEFT_BROW[5:],
        (168, 6, 197, 195, 5, 4),
        (4, 45, 220, 115, 48),
        (4, 275, 440, 344, 278),
    )
)

_FRACTION_BITS: Final = 6  # OpenCV draws at 1/64 of a pixel
_FAR: Final = 4.0  # crop sides; keeps outliers within OpenCV's integer range and lines through the crop intact


def draw_sketches(points: Floats, size: int) -> NDArray[np.uint8]:
    """Antialiased one-pixel lines, `(N, size, size)` in 0..255, of points `(N, 131, 2)` in crop units.

    Points may lie outside the crop: their lines are clipped at its border instead of dropped.
    """
    canvas = np.zeros((len(points), size, size), np.uint8)
    for image, vertices in zip(canvas, _fixed(points, size), strict=True):
        closed = [vertices[chain] for chain in CLOSED_CHAINS]
        cv2.polylines(image, closed, True, 255, 1, cv2.LINE_AA, _FRACTION_BITS)
        opened = [vertices[chain] for chain in OPEN_CHAINS]
        cv2.polylines(image, opened, False, 255, 1, cv2.LINE_AA, _FRACTION_BITS)
    return canvas


def filled(polygons: Sequence[Floats], size: int) -> NDArray[np.float32]:
    """The inside of polygons `(p, 2)` in crop units: `(size, size)` in [0, 1]."""
    canvas = np.zeros((size, size), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(canvas, [_fixed(polygon, size)], 255, cv2.LINE_AA, _FRACTION_BITS)
    return np.asarray(canvas, np.float32) / np.float32(255)


def inside_mouth(points: Floats, size: int) -> NDArray[np.float32]:
    """The inside of the mouth of a face `(131, 2)` in crop units: `(size, size)` in [0, 1], 0 on the lips."""
    inside, box = filled([points[ranks(INNER_LIP)]], size), mouth_box(size, size)
    inside[box] = np.clip(2 * cv2.GaussianBlur(inside[box], (0, 0), _OFF_LIPS * size) - 1, 0, 1)
    return inside


def shared_skin(old: Floats, new: Floats, size: int) -> NDArray[np.float32]:
    """Skin common to two positions `(131, 2)` of a face, `(size, size)` in [0, 1], in the lower half of the crop."""
    shared = np.zeros((size, size), np.float32)
    shared[size // 2 :] = 1
    for points in (old, new):
        center = points[_MOUTH_CROSS].mean(0)
        inner = center + 0.94 * (np.concatenate([points[_JAW], points[_TEMPLES]]) - center)
        shared[size // 2 :] *= filled([inner], size)[size // 2 :]
    return shared


def _fixed(points: Floats, size: int) -> NDArray[np.int32]:
    """Points in crop units as OpenCV's fixed-point pixels."""
    pixels = np.asarray(points).clip(-_FAR, _FAR) * size - 0.5
    return (pixels * (1 << _FRACTION_BITS)).round().astype(np.int32)
