"""Adds fine detail from the references' own pixels, which a crop of 128 pixels is too small to hold.

The networks output the flow to each reference and the weight of its detail, with which pictures of any size can be
warped. Detail coarser than `TRUSTED` pixels per crop comes from the networks, finer detail from the references.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats
from lipsmith.inference.render import Placed

LARGEST: Final = 512
"""Side of the largest native crop, pixels."""
WORTH: Final = 150
"""Minimum side of a crop in the film, pixels, at which native crops have more detail than those of the networks."""
TOP: Final = 0.45
"""Top of native crops in crop units; nothing above it is rendered."""
TRUSTED: Final = 96
"""Pixels per crop up to which detail comes from the rendered picture."""
_DETAIL_REFERENCES: Final = 3
_SHARPENED: Final = 0.75
_CELL: Final = 4
_KERNEL: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_SIDE: Final = 256
_MOST: Final = 4.0
_LEAST: Final = 0.4
_MEMORY: Final = 0.7
# Frames between two measurements of the grain.
_EVERY: Final = 4
_TILE: Final = 512


@dataclass(frozen=True)
class Detail:
    """Detail of one frame's references."""

    pictures: list[NDArray[np.uint8]]
    """k of (rows, N, 3): native crops from `TOP` down."""
    placed: Placed
    """Where the target's pixels lie in each reference."""
    share: NDArray[np.float32]
    """(k, H/4, S/4) in [0, 1]: weight of each reference's detail."""


def presharpened(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A native crop `(N, N, 3)` from `TOP` down, sharpened to compensate for bilinear sampling."""
    below = crop[int(TOP * len(crop)) :]
    blurred = cv2.GaussianBlur(below, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.addWeighted(below, 1 + _SHARPENED, blurred, -_SHARPENED, 0), np.uint8)


def native_side(transforms: Floats) -> int | None:
    """Side of the native crops of a face with `transforms` `(F, 2, 3)`; None if they have no additional detail."""
    side = crop_side(np.median(np.asarray(transforms, np.float64), axis=0))
    return min(LARGEST, round(side)) if side >= WORTH else None


def crop_side(transform: Floats) -> float:
    """Side of the crop of a transform `(2, 3)`, pixels of the film."""
    return float(1 / np.hypot(transform[0, 0], transform[1, 0]))


def with_detail(
    drawn: NDArray[np.float32], detail: Detail, to_crop: NDArray[np.float64], mask: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The rendered crop in a part of the film, `(h, w, 3)` in 0..255, with the references' detail added.

    `to_crop`: `(2, 3)`, from pixels of the part to those of the networks' crop, in OpenCV's convention; `mask`
    `(S, S)`: the region of that crop in which the detail is visible.
    """
    size, area = len(mask), (drawn.shape[1], drawn.shape[0])
    ranks = _highest_weighted(detail.share, mask)
    above = _from_last_rows(detail.placed.above_everywhere(), to_crop, area, size)
    grid = _native_grid(to_crop, area, size, detail.pictures[0].shape[1])
    lent = np.zeros((*drawn.shape[:2], 4), np.float32)
    for rank, share in zip(ranks, _shares(detail.share[ranks], to_crop, area, size), strict=True):
        picture, flows = _four_channels(detail.pictures[rank]), detail.placed.displacements(rank)
        native = _from_last_rows(np.concatenate(flows, -1) * np.float32(picture.shape[1]), to_crop, area, size)
        both = _both_lips(picture, native, grid, above)
        cv2.add(lent, cv2.multiply(both, cv2.merge([share] * 4), dtype=cv2.CV_32F), dst=lent)
    lower = np.asarray(cv2.cvtColor(lent, cv2.COLOR_BGRA2BGR), np.float32)
    scale = min(1.0, TRUSTED / size * float(np.hypot(to_crop[0, 0], to_crop[1, 0])))
    return lower + _low_pass(drawn - lower, scale)


def _highest_weighted(share: NDArray[np.float32], mask: NDArray[np.float32]) -> list[int]:
    """The `_DETAIL_REFERENCES` references with the largest weight under the mask."""
    rows = share.shape[1] * _CELL
    cells = cv2.resize(mask[-rows:], share.shape[:0:-1], interpolation=cv2.INTER_AREA)
    believed = (share * cells).sum((1, 2))
    return [int(rank) for rank in np.argsort(-believed, kind="stable")[:_DETAIL_REFERENCES]]


def _shares(
    share: NDArray[np.float32], to_crop: NDArray[np.float64], area: tuple[int, int], size: int
) -> list[NDArray[np.float32]]:
    """Shares `(k, H/4, S/4)` resampled to the film's part, k of `(h, w)`; their sum is 1."""
    matrix = to_crop / _CELL
    matrix[:, 2] += 0.5 / _CELL - 0.5
    matrix[1, 2] -= size / _CELL - share.shape[1]
    given = share + np.float32(1e-6)
    cells = np.ascontiguousarray(np.moveaxis(given / given.sum(0), 0, -1))
    return [np.asarray(one, np.float32) for one in cv2.split(_sampled(cells, matrix, area))]


def _four_channels(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture `(h, w, 3)` with a fourth channel, because OpenCV samples four channels twice as fast as three."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA), np.uint8)


def _native_grid(
    to_crop: NDArray[np.float64], area: tuple[int, int], size: int, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the pixels of the film's part lie in a native crop from `TOP` down if nothing is displaced: x and y `(h,
    w)`, in native pixels with the first pixel's center at 0."""
    scaled = to_crop * (side / size)
    scaled[:, 2] += 0.5 * side / size - 0.5 - np.array([0, int(TOP * side)])
    x, y = np.arange(area[0], dtype=np.float32), np.arange(area[1], dtype=np.float32)
    across, down = (np.add.outer(row[1] * y, row[0] * x + row[2]) for row in scaled.astype(np.float32))
    return across, down


def _both_lips(
    picture: NDArray[np.uint8],
    flows: NDArray[np.float32],
    grid: tuple[NDArray[np.float32], NDArray[np.float32]],
    above: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """A native crop `(rows, N, 4)` in the film's part, by the flows of either side of the lips' middle line.

    `flows`: `(h, w, 4)`, native pixels, x and y of the lower side, then of the upper; `grid`: see `_native_grid`;
    `above`: `(h, w)` in [0, 1]. Where the sides meet, the picture is the mean of both lips. At the mean of the flows
    would be what is between the reference's lips: its teeth.
    """
    lower_x, lower_y, upper_x, upper_y = cv2.split(flows)
    whole = _bilinear(picture, cv2.add(grid[0], lower_x), cv2.add(grid[1], lower_y))
    if (part := _extent(above)) is not None:
        x, y = cv2.add(grid[0][part], upper_x[part]), cv2.add(grid[1][part], upper_y[part])
        share = above[part]
        whole[part] = cv2.blendLinear(_bilinear(picture, x, y), whole[part], share, 1 - share)
    return whole


def _extent(values: NDArray[np.float32]) -> tuple[slice, slice] | None:
    """The smallest part of `(h, w)` values that contains all above zero; None if there are none."""
    rows, columns = (np.flatnonzero(values.max(axis) > 0) for axis in (1, 0))
    if not len(rows):
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _bilinear(picture: NDArray[np.uint8], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _from_last_rows(
    values: NDArray[np.float32], to_crop: NDArray[np.float64], area: tuple[int, int], size: int
) -> NDArray[np.float32]:
    """Values `(H, S, ...)` of the last rows of a crop of side `size`, resampled to the film's part `(h, w, ...)`."""
    matrix = to_crop.copy()
    matrix[1, 2] -= size - len(values)
    return _sampled(values, matrix, area)


def _low_pass(picture: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """A picture `(h, w, 3)` low-pass filtered to the detail that remains at `scale` times its size."""
    height, width = picture.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _sampled(values: NDArray[np.float32], matrix: NDArray[np.float64], area: tuple[int, int]) -> NDArray[np.float32]:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(values, matrix, area, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


class Grain:
    """Generates the noise that pictures lack, at a level that changes slowly."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Reset the level for another scene."""
        self._frame, self._level = 0, 0.0

    @property
    def memory(self) -> tuple[int, float]:
        """All that the next frame's noise depends on."""
        return self._frame, self._level

    @memory.setter
    def memory(self, memory: tuple[int, float]) -> None:
        self._frame, self._level = memory

    def missing(self, drawn: NDArray[np.float32], source: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The noise `(h, w, 1)` that `drawn` `(h, w, 3)` lacks compared with `source`, which it replaces."""
        if self._frame % _EVERY == 0:
            lacking = min(_MOST, max(0.0, noise_level(source) ** 2 - noise_level(drawn) ** 2) ** 0.5)
            self._level = lacking if self._frame == 0 else _MEMORY * self._level + (1 - _MEMORY) * lacking
        self._frame += 1
        if self._level < _LEAST:
            return np.zeros((1, 1, 1), np.float32)
        return np.float32(self._level) * self._noise(drawn.shape[0], drawn.shape[1])[..., None]

    def _noise(self, height: int, width: int) -> NDArray[np.float32]:
        """White noise of deviation 1, `(height, width)`: a shifted view of one tile, which is faster than new noise."""
        # From the first quarter, so that what is repeated beyond the tile is itself a large piece.
        x, y = np.random.default_rng(self._frame).integers(0, _TILE // 2, 2)
        view = _tile()[y : y + height, x : x + width]
        down, right = height - view.shape[0], width - view.shape[1]
        return np.asarray(cv2.copyMakeBorder(view, 0, down, 0, right, cv2.BORDER_WRAP), np.float32)


@cache
def _tile() -> NDArray[np.float32]:
    """White noise, one megabyte shared by all faces of a film."""
    return np.random.default_rng(0).standard_normal((_TILE, _TILE), dtype=np.float32)


def noise_level(image: NDArray[np.uint8] | NDArray[np.float32]) -> float:
    """Standard deviation, in gray levels, of the noise in an image `(h, w, 3)`; 0 for one under 3 pixels wide or high.

    J. Immerkaer, "Fast noise variance estimation" (1996), with the median instead of the mean, which is robust to
    edges.
    """
    if min(image.shape[:2]) < 3:
        return 0.0
    top, left = (max(0, (side - _SIDE) // 2) for side in image.shape[:2])
    green = image[top : top + _SIDE, left : left + _SIDE, 1].astype(np.float32)
    second = cv2.filter2D(green, -1, _KERNEL)[1:-1, 1:-1]
    return float(np.median(np.abs(second))) / (6 * 0.6745)
