"""Finds what was laid over a face: captions, that is, letters of one bright color in a line, and a bar below.

Both belong to the film, not to the face. So references are cleaned of them, and a dub keeps them above the new mouth.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import UNIT_SQUARE, apply, invert
from lipsmith.face.landmarks import JAW, OUTER_LIP, Floats, ranks
from lipsmith.media.color import Picture, channels

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Integers = NDArray[np.signedinteger]

_BOX: Final = np.ones((3, 3), np.uint8)
_JAW: Final = ranks(JAW)
_WINGS: Final = ranks((278, 48))
_LIPS: Final = ranks(OUTER_LIP)

_REACH: Final = 1.15
"""Of the lower face, beyond the jaw: what a dub changes reaches that far."""
_SIDE: Final = 300.0
"""Side of the crop, pixels, below which a picture is enlarged, so that strokes are wider than a pixel or two."""
_CROP: Final = 2.5
"""Side of the crop, in means of the jaw's width and height."""

_WHITE: Final = 185
"""Least of the three channels of white letters."""
_BRIGHT, _COLORED = 170, 120
"""Least of the largest channel of colored letters, and of its difference from the smallest."""
_SAME, _SAME_COLORED, _EDGE = 28, 44, 55
"""Largest difference within white letters and within colored ones, whose color films blur, and least difference of what
is around them."""
_SURROUNDED: Final = 0.8
"""Share of the edge of a letter that must have that difference."""
_LETTERS: Final = 2
"""Least number of letters in a line."""
_LEAST, _MOST = 0.018, 0.3
"""Heights of letters, as shares of the crop's side."""
_GAP: Final = 0.6
"""Largest gap between two neighbors in a line of letters, in their heights; lines may have words with larger ones."""
_WIDEST: Final = 8
"""Largest width of letters that touch, in their heights."""
_ENOUGH: Final = 0.0007
"""Area of strokes on the face, in squares of the crop's side, from which letters are looked for."""
_STROKE: Final = 0.35
"""Largest width of a stroke, as a share of the letter's height."""
_OUTLINE: Final = 0.15
"""Width of what surrounds a letter, as a share of its height: an outline, a shadow, blur."""
_DARK: Final = 70
"""Largest channel of a dark outline, which may be twice as wide."""
_ON_FACE: Final = 0.1
"""Least area of a line on the face, in squares of the height of its letters."""
_EVEN: Final = 12
"""Largest difference from the color of a bar within it, by compression."""
_COLUMNS: Final = 64
"""Columns of a picture that are looked at for a bar."""
BAR_EDGE: Final = 2
"""Rows of the picture that encoding mixes with a bar below them."""


def picture_end(image: Picture, lowest: int = 0) -> int:
    """The row, `lowest` or more, from which on an image `(H, W, 3)` has one color, as in a bar; H without one."""
    luma = image[..., 1] if isinstance(image, np.ndarray) else image.plane(0)
    rows = luma[lowest:, :: max(1, luma.shape[1] // _COLUMNS)]
    shown = np.flatnonzero((np.abs(rows - np.median(luma[-1])) > _EVEN).any(1))
    return lowest + int(shown[-1]) + 1 if len(shown) else lowest


def without_bar(image: Image, row: float) -> Image:
    """The image `(h, w, 3)` with the row before a bar, which begins at `row`, repeated over it; itself if that is
    outside."""
    first = int(row)
    if not 0 < first < len(image):
        return image
    return np.concatenate([image[:first], np.repeat(image[first - 1 : first], len(image) - first, axis=0)])


def inpainted(image: Image, covered: Mask) -> Image:
    """The image `(h, w, 3)`, of which what is `covered` `(h, w)`, 0 or 1, looks like what surrounds it."""
    return np.asarray(cv2.inpaint(image, covered, 3, cv2.INPAINT_TELEA), np.uint8)


def outside_caption(
    frame: Picture, box: tuple[int, int, int, int], transform: Floats, points: Floats
) -> NDArray[np.float32] | None:
    """The share of each pixel in a box of a frame that no caption covers, `(h, w)` in [0, 1]; None without a caption.

    `box`: x0, y0, x1, y1; `transform`: `(2, 3)`, pixels to crop units; `points`: the face `(131, 2)`, crop units.
    """
    back = invert(transform)
    corners, face = apply(back, UNIT_SQUARE), apply(back, points)
    x0, y0, x1, y1 = box
    # Beside the box, too, because a line has more letters there.
    left, right = max(min(int(corners[:, 0].min()), x0), 0), max(int(corners[:, 0].max()), x1)
    covered = caption(frame[y0 : max(int(corners[:, 1].max()), y1), left:right], face - (left, y0))
    if covered is None:
        return None
    return np.asarray(cv2.blur(1 - covered[: y1 - y0, x0 - left : x1 - left].astype(np.float32), (3, 3)), np.float32)


def caption(image: Image, points: Floats) -> Mask | None:
    """Where letters and their outlines cover an image `(h, w, 3)` with the face `points` `(131, 2)`, pixels: `(h, w)`,
    0 or 1; None if there are none on the lower face."""
    side = _CROP * float(np.ptp(points[_JAW], axis=0).mean())
    top = max(0, int(points[_WINGS, 1].min() - _MOST * side / 2))
    found = _caption(image[top:], points - (0, top), side)
    return found if found is None else np.pad(found, ((top, 0), (0, 0)))


def _caption(image: Image, points: Floats, side: float) -> Mask | None:
    """`caption` of a part of a picture with the lower face; `side`: that of the crop, pixels."""
    if not image.size:
        return None
    if (_strokes(image, side) & _lower_face(points, image.shape[:2])).sum() < _ENOUGH * side**2:
        return None
    factor = int(np.ceil(_SIDE / side))
    if factor > 1:
        image = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR), np.uint8)
    face = _lower_face(points * factor, image.shape[:2])
    covered = np.zeros_like(face)
    for color in _colors(image[(_strokes(image, side * factor) & face) > 0]):
        letters, height = _letters(image, color, side * factor)
        if (letters & face).sum() > _ON_FACE * height**2:
            covered |= _with_outline(image, letters, height)
    if not covered.any():
        return None
    return covered if factor == 1 else _widened(covered[factor // 2 :: factor, factor // 2 :: factor], 1)


def _strokes(image: Image, side: float) -> Mask:
    """Pixels that may lie in strokes of letters: white, or of a bright color, and not so a little to both sides."""
    red, green, blue = channels(image)
    least, most = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    color = cv2.subtract(most, least)
    widest = np.ones((2 * max(1, round(_STROKE * _MOST * side / 2)) + 1,) * 2, np.uint8)
    white = (least >= _WHITE) & (cv2.morphologyEx(least, cv2.MORPH_TOPHAT, widest) >= _EDGE)
    bright = (most >= _BRIGHT) & (color >= _COLORED)
    if bright.any():
        bright &= cv2.morphologyEx(color, cv2.MORPH_TOPHAT, widest) >= _EDGE
    return np.asarray(white | bright, np.uint8)


def _lower_face(points: Floats, shape: tuple[int, ...]) -> Mask:
    """1 from the nose to somewhat beyond the jaw, but 0 on the lips."""
    center = points[_LIPS].mean(0)
    region = [*(center + _REACH * (points[_JAW] - center)), *points[_WINGS]]
    face = np.zeros(shape, np.uint8)
    cv2.fillPoly(face, [np.round(region).astype(np.int32)], 1)
    cv2.fillPoly(face, [np.round(points[_LIPS]).astype(np.int32)], 0)
    return face


def _colors(colors: Image) -> list[Image]:
    """The most frequent ones of colors `(n, 3)`, at most two."""
    found: list[Image] = []
    for _ in range(2):
        if not len(colors):
            break
        cells = (colors >> 5) @ np.array([64, 8, 1])
        found.append(np.median(colors[cells == np.bincount(cells).argmax()], axis=0).astype(np.uint8))
        colors = colors[_apart(colors[None], found[-1])[0] > _SAME]
    return found


def _apart(image: Image, color: Image) -> Mask:
    """Largest difference of the three channels, `(h, w)`, of an image `(h, w, 3)` from a color `(3,)`."""
    red, green, blue = (cv2.absdiff(plane, one) for plane, one in zip(channels(image), color.tolist(), strict=True))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8).reshape(image.shape[:2])


def _letters(image: Image, color: Image, side: float) -> tuple[Mask, float]:
    """The letters of a color that stand in a line, and their height."""
    apart, same = _apart(image, color), _SAME if color.min() >= _WHITE else _SAME_COLORED
    _, labels, boxes, centers = cv2.connectedComponentsWithStats((apart <= same).astype(np.uint8), connectivity=4)
    table, levels = np.asarray(boxes, np.int64), np.asarray(centers, np.float64)[:, 1]
    widths, heights, areas = table[:, 2], table[:, 3], table[:, 4]
    likely = (heights >= _LEAST * side) & (heights <= _MOST * side) & (widths <= _WIDEST * heights)
    likely &= areas >= 0.1 * heights**2
    likely[0] = False  # all else
    found = [n for n in np.flatnonzero(likely) if _is_letter(np.asarray(labels), int(n), table[n], apart)]
    line = _line(np.array(found, np.int64), table, levels)
    if len(line) < _LETTERS:
        return np.zeros_like(apart), 0.0
    # Dots and marks of the line are too small to be found alone.
    height = float(heights[line].mean())
    shown = (heights < height) & (widths < height) & (np.abs(levels - levels[line].mean()) < height)
    shown &= (table[:, 0] > table[line, 0].min() - height) & (table[:, 0] < table[line, 0].max() + 2 * height)
    shown[line], shown[0] = True, False
    return shown[labels].astype(np.uint8), height


def _with_outline(image: Image, letters: Mask, height: float) -> Mask:
    """Letters of a height with what surrounds them; a dark outline may be wider."""
    dark = np.asarray(_apart(image, np.zeros(3, np.uint8)) <= _DARK, np.uint8)
    covered = _widened(letters, _OUTLINE * height)
    return _widened(covered | (_widened(covered, _OUTLINE * height) & dark), _OUTLINE * height / 2)


def _widened(mask: Mask, reach: float) -> Mask:
    """A mask with all pixels that are at most `reach`, and at least one pixel, from it."""
    side = 2 * max(1, round(reach)) + 1
    return np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.uint8)


def _is_letter(labels: NDArray[Any], number: int, box: Integers, apart: Mask) -> bool:
    """Whether a component has thin strokes, and another color all around."""
    x, y, width, height = box[:4].tolist()
    rows, columns = slice(max(y - 3, 0), y + height + 3), slice(max(x - 3, 0), x + width + 3)
    shape = (labels[rows, columns] == number).astype(np.uint8)
    if 2 * cv2.distanceTransform(np.pad(shape, 1), cv2.DIST_L2, 3).max() > max(_STROKE * height, 4):
        return False
    near = cv2.dilate(shape, _BOX)
    around = (cv2.dilate(near, _BOX, iterations=2) > near) & (labels[rows, columns] == 0)  # other letters do not count
    return bool(around.any() and (apart[rows, columns][around] >= _EDGE).mean() >= _SURROUNDED)


def _line(likely: Integers, boxes: Integers, levels: NDArray[np.float64]) -> Integers:
    """The largest set of components of similar height whose middles are at one level, if any two are neighbors."""
    if not len(likely):
        return likely
    height, level = boxes[likely, 3], levels[likely]
    beside = np.abs(level[:, None] - level) <= 0.4 * height
    fits = beside & (height <= 1.6 * height[:, None]) & (height >= 0.5 * height[:, None])
    line = likely[fits[fits.sum(1).argmax()]]
    line = line[np.argsort(boxes[line, 0])]
    gaps = boxes[line[1:], 0] - np.maximum.accumulate(boxes[line, 0] + boxes[line, 2])[:-1]
    return np.asarray(line if (gaps < _GAP * boxes[line, 3].mean()).any() else line[:0], np.int64)
