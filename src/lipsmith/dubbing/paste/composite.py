"""Pastes a rendered crop into its source frame: mouth, chin and cheeks change, every other pixel stays unchanged.

The mask and the color correction are computed in the crop, whose geometry does not depend on the film's size, and then
warped into the frame, inside the mask's bounding box only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.paste.detail import Detail, Region, extent, with_detail
from lipsmith.face.captions import outside_caption
from lipsmith.face.crop import apply, invert, to_pixels
from lipsmith.face.landmarks import JAW, OUTER_LIP, Floats, filled, ranks, shared_skin
from lipsmith.face.look import Grain
from lipsmith.inference.occlusion import Covers, before_faces
from lipsmith.media.color import Picture, channels

# The mask's outline follows the jaw. Below the chin it lies farther out, because the whole edge of a new jaw must be
# rendered; at the cheeks it lies farther in, so that it blends skin with skin and keeps hair in front of the face.
_AT_EAR: Final = 0.88
_AT_CHIN: Final = 1.10
# Where the jaws are apart, farther out by this many times their distance: the filmed one would show beside the new one.
_BESIDE: Final = 2.0
# Difference (gray levels) beyond it up to which the rest is drawn where it is filmed, and from which a collar is not.
_SAME_PLACE, _OTHER_PLACE = 30.0, 60.0
# Shares of the crop's side.
_MOST_BESIDE: Final = 0.04
_BEYOND: Final = 0.03
_FEATHER: Final = 0.018
_BORDER: Final = 0.04
# Start of the mask, as a share of the way from the wings of the nose to the upper lip.
_BELOW_NOSE: Final = 0.15

_GRID: Final = 32
_SPREAD: Final = 5.0
_OUTLIER: Final = 16.0
_MEMORY: Final = 0.85
# Mean difference (gray levels) from the frames before beyond which the light has changed; flicker of 10 is no change.
_JUMP: Final = 25.0

# Difference (gray levels) beyond which the content differs, and radius of the comparison as a share of the side.
_ALIKE: Final = 12.0
_NEAR: Final = 0.012
_LIP_MARGIN: Final = 0.15

_VISIBLE: Final = 1 / 255
_JAW: Final = ranks(JAW)
_REACH: Final = _AT_EAR + (_AT_CHIN - _AT_EAR) * np.sin(np.linspace(0, np.pi, len(_JAW)))[:, None] ** 0.5
_NOSE_WINGS: Final = ranks((278, 48))
_MOUTH_TOP: Final = ranks((0,))[0]
_OUTER_LIP: Final = ranks(OUTER_LIP)
_MOUTH: Final = ranks((61, 291, 0, 17))


@dataclass(frozen=True)
class Memory:
    """What a compositor knows of the frames before, on which the next one depends."""

    color: NDArray[np.float32] | None
    """(32, 32, 3), the difference of colors."""
    grain: tuple[int, float]
    """Frames since the scene began, and the level of the noise."""


class Compositor:
    """Pastes successive crops of one face and smooths color and grain over time, so that neither flickers."""

    def __init__(self) -> None:
        self._grain = Grain()
        self.restart()

    def restart(self) -> None:
        """Reset the smoothing: the next frame does not follow the last one (a cut, or another face)."""
        self._color: NDArray[np.float32] | None = None
        self._grain.restart()

    @property
    def memory(self) -> Memory:
        """By which another compositor goes on where this one is."""
        return Memory(self._color, self._grain.memory)

    @memory.setter
    def memory(self, memory: Memory) -> None:
        self._color, self._grain.memory = memory.color, memory.grain

    def paste(
        self,
        frame: Picture,
        generated: NDArray[np.uint8],
        source: NDArray[np.uint8],
        transform: Floats,
        old: Floats,
        new: Floats,
        *,
        opacity: float = 1.0,
        detail: Detail | None = None,
        captioned: bool = False,
        covers: Covers | None = None,
        bar: int | None = None,
    ) -> Picture:
        """A copy of `frame` `(H, W, 3)` that shows `generated` where the mouth is; all else bit for bit the same.
        `frame` itself if the mouth lies outside it or `opacity` is 0.

        `generated`, `source`: the rendered and the original crop `(S, S, 3)`; `transform`: `(2, 3)`, source pixels to
        crop units; `old`, `new`: the 131 points `(131, 2)` in crop units, as filmed and as rendered; `opacity`: in [0,
        1]; `detail`: detail of the references, if they have a higher resolution than the crop; `captioned`: look for
        captions, which stay; `covers`: what lies before the face, and stays; `bar`: row at which a bar begins, too.
        """
        size = len(generated)
        rows = slice(size // 2 - _seam(size), None)  # nothing above is seen
        change = cv2.resize(cv2.absdiff(generated, source), (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        mask = soft_mask(old, new, size, np.asarray(cv2.blur(change, (3, 3)), np.uint8))
        around = shared_skin(old, new, size) * (1 - mask)
        if covers is not None:
            free = 1 - before_faces(covers, mask, [old, new])
            mask, around = mask * free, around * free
        field = self._color_field(generated, source, around)
        drawn = np.clip(generated[rows] + field[rows], 0, 255)
        matrix = to_pixels(transform, size)
        box = _bounding_box(mask, matrix, (frame.shape[0] if bar is None else bar, frame.shape[1]))
        if box is None or opacity <= 0:
            return frame
        x0, y0, x1, y1 = box
        local = matrix.copy()
        local[:, 2] += matrix[:, :2] @ (x0, y0)
        region = Region(local, y1 - y0, x1 - x0, size)
        filmed = frame[y0:y1, x0:x1]
        image = _placed(drawn, region) if detail is None else with_detail(drawn, detail, region, mask)
        image += self._grain.missing(image, filmed)
        moved = _softened(drawn - source[rows], region.scale)
        share, added = _shares(mask[rows] * opacity, likeness(drawn, source[rows], old, new), moved, region)
        if captioned and (beside := outside_caption(frame, box, transform, old)) is not None:
            share, added = share * beside, added * cv2.merge([beside] * 3)
        blended = cv2.blendLinear(image, filmed.astype(np.float32), share, 1 - share)
        part = np.asarray(cv2.add(blended, added, dtype=cv2.CV_8U), np.uint8)
        if not isinstance(frame, np.ndarray):
            return frame.with_patch(x0, y0, part, filmed)
        result = frame.copy()
        result[y0:y1, x0:x1] = part
        return result

    def _color_field(
        self, generated: NDArray[np.uint8], source: NDArray[np.uint8], weight: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Color correction `(S, S, 3)` to add to the rendered crop, so that it matches the source at the mask's edge,
        where `weight` `(S, S)` is above 0."""
        field = color_difference(generated, source, weight)
        if self._color is not None and np.abs(field - self._color)[_GRID // 2 :].mean() < _JUMP:
            field = _MEMORY * self._color + (1 - _MEMORY) * field
        self._color = field
        return np.asarray(cv2.resize(field, weight.shape), np.float32)


def _shares(
    mask: NDArray[np.float32], alike: NDArray[np.float32], change: NDArray[np.float32], region: Region
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The share `(h, w)` of the rendered picture in a region, and what is added to the filmed one `(h, w, 3)`.

    `mask`, `alike`: `(rows, S)` in [0, 1]; `change`: `(rows, S, 3)`, rendered minus filmed crop. Where both are alike,
    the filmed picture, with its detail, takes on the change alone, which is small and so may be sampled linearly.
    """
    mask = np.where(mask < _VISIBLE, 0, mask)
    moved = mask * alike
    packed = cv2.merge([mask - moved, *(moved * color for color in channels(change))])
    # OpenCV samples four channels as fast as one.
    share, *added = channels(region.smooth(np.asarray(packed, np.float32), cv2.BORDER_CONSTANT))
    return share, np.asarray(cv2.merge(added), np.float32)


def soft_mask(old: Floats, new: Floats, size: int, change: NDArray[np.uint8] | None = None) -> NDArray[np.float32]:
    """Mask of the rendered crop, `(size, size)` in [0, 1]: below the nose, down to the lower of the two jaws.

    `old`, `new`: `(131, 2)` in crop units, the filmed and the rendered face; `change`: `(32, 32, 3)`, how far their
    crops differ, if they are known. 0 in the upper half and at the crop's border.
    """
    rows = slice(size // 2 - _seam(size), None)
    beside = _beside(old, new, change)
    hard = filled([outline(old, beside), outline(new, beside)], size)[rows]
    mask = np.zeros((size, size), np.float32)
    mask[rows] = cv2.GaussianBlur(hard, (0, 0), max(0.5, _FEATHER * size)) * _window(size)[rows]
    return mask


def _beside(old: Floats, new: Floats, change: NDArray[np.uint8] | None) -> NDArray[np.float64]:
    """How much farther out `(17, 2)` the outline lies where the two jaws are apart, unless `change` is large beyond."""
    center = old[_MOUTH].mean(0)
    way = old[_JAW] - center
    outward = way / np.linalg.norm(way, axis=1, keepdims=True)
    apart = ((new - old)[_JAW] * outward).sum(1, keepdims=True)
    farther = np.minimum(_BESIDE * np.abs(apart), _MOST_BESIDE)
    if change is not None:
        beyond = center + way * _REACH + outward * (np.maximum(apart, 0) + farther + _BEYOND)
        x, y = np.clip(beyond * _GRID, 0, _GRID - 1).astype(int).T
        farther *= np.clip((_OTHER_PLACE - change[y, x].max(1, keepdims=True)) / (_OTHER_PLACE - _SAME_PLACE), 0, 1)
    return np.asarray(farther * outward, np.float64)


def outline(points: Floats, beside: NDArray[np.float64] | float = 0.0) -> NDArray[np.float64]:
    """The changed region of one face `(131, 2)` as a polygon `(19, 2)`: along the jaw, moved out by `beside` `(17, 2)`,
    and back below the nose."""
    center = points[_MOUTH].mean(0)
    jaw = center + (points[_JAW] - center) * _REACH + beside
    wings = points[_NOSE_WINGS]
    return np.concatenate([jaw, wings + _BELOW_NOSE * (points[_MOUTH_TOP] - wings.mean(0))])


def color_difference(
    generated: NDArray[np.uint8], source: NDArray[np.uint8], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Smooth field `(32, 32, 3)` of source minus generated, known where the lower half of `weight` `(S, S)` is above 0.

    A normalized convolution, that is, the weighted mean of nearby differences. Large differences come from content, not
    light, and weigh little; without known differences nearby the field falls to 0.
    """
    drawn = slice(len(weight) // 2, None)
    difference = source[drawn].astype(np.float32) - generated[drawn]
    trust = weight[drawn] / (1 + (_largest(difference) / _OUTLIER) ** 2)
    weighted = cv2.merge([*(color * trust for color in channels(difference)), trust])
    known = cv2.resize(weighted, (_GRID, _GRID // 2), interpolation=cv2.INTER_AREA)
    known = cv2.copyMakeBorder(known, _GRID // 2, 0, 0, 0, cv2.BORDER_CONSTANT, value=0)
    spread = cv2.GaussianBlur(known, (0, 0), _SPREAD, borderType=cv2.BORDER_CONSTANT)
    field: NDArray[np.float32] = spread[..., :3] / (spread[..., 3:] + 1e-3)
    return field


def likeness(drawn: NDArray[np.float32], source: NDArray[np.uint8], old: Floats, new: Floats) -> NDArray[np.float32]:
    """Similarity of rendered and filmed crop, its last rows `(rows, S, 3)`: `(rows, S)` in [0, 1]; 0 near the lips.

    Similar regions get the source's fine detail (pores, stubble, grain) back, which the crop is too small to hold.
    """
    rows, size = source.shape[:2]
    near = cv2.GaussianBlur(_largest(drawn - source), (0, 0), _NEAR * size)
    outer = [points[_OUTER_LIP] for points in (old, new)]
    lips = filled([lip + _LIP_MARGIN * (lip - lip.mean(0)) for lip in outer], size)[-rows:]
    alike = np.exp(-((near / _ALIKE) ** 2)) * (1 - lips)
    return np.asarray(cv2.GaussianBlur(alike, (0, 0), _NEAR * size), np.float32)


def _largest(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maximum of the three channels, without numpy's slow reduction over a short axis."""
    red, green, blue = np.abs(channels(difference))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def _seam(size: int) -> int:
    """Rows above the middle of a crop that the filters below it reach."""
    return size // 16


@cache
def _window(size: int) -> NDArray[np.float32]:
    """1 in the lower half of the crop, falling to 0 at its middle row and border."""
    centers = np.arange(size) + 0.5
    ramp = max(1.0, _BORDER * size)
    across = np.minimum(centers, size - centers) / ramp
    down = np.minimum(centers - size // 2, size - centers) / ramp
    rows, columns = (np.clip(side, 0, 1) for side in (down, across))
    eased = np.outer(rows * rows * (3 - 2 * rows), columns * columns * (3 - 2 * columns))
    return eased.astype(np.float32)


def _bounding_box(
    mask: NDArray[np.float32], matrix: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 of the mask's bounding box in the frame; None if it is empty."""
    if (part := extent(mask)) is None:
        return None
    rows, columns = part
    top, bottom, left, right = rows.start - 1, rows.stop, columns.start - 1, columns.stop
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float64)
    placed = apply(invert(matrix), corners)
    limit = (shape[1], shape[0])
    x0, y0 = np.clip(np.floor(placed.min(0)), 0, limit).astype(int)
    x1, y1 = np.clip(np.ceil(placed.max(0)) + 1, 0, limit).astype(int)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 and y1 > y0 else None


def _placed(drawn: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
    """A crop's last rows `(rows, S, 3)` in the region `(h, w, 3)`: cubic, because it is enlarged."""
    flags, area = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, (region.width, region.height)
    softened = _softened(drawn, region.scale)
    matrix = region.to_crop.copy()
    matrix[1, 2] -= region.side - len(drawn)
    placed = cv2.warpAffine(softened, matrix, area, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(placed, np.float32)


def _softened(drawn: NDArray[np.float32], shrink: float) -> NDArray[np.float32]:
    """A crop that is to be made `shrink` times smaller, low-pass filtered before."""
    if shrink <= 1.3:
        return drawn
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), 0.4 * np.sqrt(shrink**2 - 1)), np.float32)
