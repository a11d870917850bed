"""How frames look: what covers the skin, and what of a film its mouths must share: fades to black or white, the tone of
monochrome footage, and grain; and how much of a drawn mouth a frame shows.

A fade takes contrast from a picture: a frame is rendered as if it were not faded, and what was rendered is faded as the
frame is. The networks, trained on color, tint black-and-white and toned footage: its mouths get its colors. A mean of
references has less noise than the film: its mouths get as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats, ranks
from lipsmith.face.references import sharpness_of

if TYPE_CHECKING:
    from lipsmith.face.stretches import Shot

_EYES: Final = (0.2, 0.2, 0.8, 0.5)
"""Left, top, right and bottom, crop units, of the part of a face that is compared: eyes and nose."""
_CELLS: Final = (24, 12)
_SAME, _SIMILAR = 0.9, 0.75
"""Correlation from which two pictures show the same, and from which they may, where a picture beside them does."""
_FADED, _CLEAR = 0.6, 0.8
"""Share of the contrast up to which a frame is faded as far as it looks, and from which it is not."""
_COMPARED: Final = 5
"""Number of references, the most similar ones, that a frame is compared with: a single one would change too often."""
_MOST_CLEAR: Final = 0.75
"""Quantile of the references' contrasts that counts as without a fade."""
_UNIFORM: Final = 1e-3
"""So that pictures of one color have no pattern."""
_FAINTEST: Final = 0.1
"""Share of the contrast below which noise would be amplified too much."""

_LIPS: Final = ranks((17, 17, 17, 17, 84, 84, 84, 314, 314, 314, 91, 91, 321, 321, 61, 61, 291, 291))
_JAW: Final = ranks((152, 152, 152, 152, 148, 148, 148, 377, 377, 377, 149, 149, 378, 378, 136, 136, 365, 365))
_WAY: Final = np.array([30, 55, 80, 95, 50, 80, 95, 50, 80, 95, 40, 70, 40, 70, 35, 65, 35, 65], np.float32) / 100
"""Places on the skin: points on the lips and on the jaw, and the share of the way between them."""
_PATCH: Final = 0.06
"""Side of the patch of skin whose mean color counts, crop units."""
_WORST: Final = 3
"""Places that decide, those of the largest difference: a caption covers few."""
_ALIKE, _UNLIKE = 32.0, 52.0
"""Difference of color, of 255, up to which light explains it, and from which something covers the skin."""
_USUAL, _SUSPECTED = 20.0, 5
"""Difference up to which nothing is suspected, and references suspected at most."""
FADE: Final = 4
"""Frames over which the rendered mouth fades in and out where tracking starts or stops within a shot."""
HIDDEN_SCORE, SEEN_SCORE = 0.5, 0.75
"""Scores of the face network between which a face fades from hidden to visible (tracking stops below 0.5)."""
_SOFT, _TOO_SOFT = 0.5, 0.25
"""Sharpness, as a share of the frame's, below which a reference is soft, and at which it is too blurred for it."""

_LUMA: Final = np.array([0.299, 0.587, 0.114])
_SPARSE: Final = 4
"""Pixels from one that is looked at for the tone to the next."""
_DEVIATION: Final = 2.0
"""Deviation, of 255, from the tone up to which it is only noise."""

_NOISE: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Kernel that removes what is smooth or an edge."""
_MEASURED: Final = 256
"""Side, pixels, of the part of a picture whose noise is measured."""
_MOST_GRAIN, _LEAST_GRAIN = 16.0, 0.4
"""Deviations, of 255: more is not added, less is not worth it."""
_STEADY: Final = 0.7
"""Share of the level before in the next one."""
_EVERY: Final = 4
"""Frames between two measurements of the grain."""
_TILE: Final = 512


@dataclass(frozen=True)
class Fade:
    """A picture is `light` + `contrast` (x - `clear`), where x is the same picture without the fade."""

    contrast: float
    """In (0, 1)."""
    light: Floats
    """(3,): mean color."""
    clear: Floats
    """(3,): mean color without the fade."""

    def removed(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image `(h, w, 3)` without the fade."""
        return _scaled(image, 1 / self.contrast, self.light, self.clear)

    def applied(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image `(h, w, 3)` with the fade."""
        return _scaled(image, self.contrast, self.clear, self.light)


class Eyes(NamedTuple):
    """What is compared of n crops."""

    pattern: Floats
    """(n, 288): differences from the mean shade, of length 1."""
    contrast: Floats
    """(n,): the length of these differences before."""
    light: Floats
    """(n, 3): mean colors."""


def eyes_of(images: NDArray[np.uint8]) -> Eyes:
    """What is compared of crops `(n, S, S, 3)`."""
    left, top, right, bottom = (int(share * images.shape[1]) for share in _EYES)
    small = [cv2.resize(image[top:bottom, left:right], _CELLS, interpolation=cv2.INTER_AREA) for image in images]
    colors = np.stack(small).reshape(len(images), -1, 3).astype(np.float32)
    shades = colors @ np.full(3, 1 / 3, np.float32)
    shades -= shades.mean(1, keepdims=True)
    contrast = np.linalg.norm(shades, axis=1)
    return Eyes(shades / np.maximum(contrast, _UNIFORM)[:, None], contrast, colors.mean(1))


def fades_of(frames: Eyes, pool: Eyes) -> list[Fade | None]:
    """The fade of each of successive frames, compared with references, most of which have none; None if it has none.

    What is certain of one of them decides for those that look similar: a frame may move or blink while others fade.
    """
    if (frames.contrast >= _CLEAR * pool.contrast.max()).all():  # the usual case, without the work
        return [None] * len(frames.contrast)
    # References of the same fade would show less of it from frame to frame.
    clear = pool.contrast >= _CLEAR * np.quantile(pool.contrast, _MOST_CLEAR)
    alike = np.where(clear, frames.pattern @ pool.pattern.T, 0)
    best = np.argsort(-alike, axis=1)[:, :_COMPARED]
    share = frames.contrast / np.maximum(pool.contrast[best].mean(1), _UNIFORM)
    same = np.take_along_axis(alike, best, axis=1).mean(1)
    dim = share < _CLEAR
    fades = dim & (same >= _SIMILAR) & (same[dim].max(initial=0) >= _SAME)
    share += (1 - share) * np.maximum(0, (share - _FADED) / (_CLEAR - _FADED))
    return [
        Fade(max(float(share[n]), _FAINTEST), frames.light[n], pool.light[best[n]].mean(0)) if fades[n] else None
        for n in range(len(fades))
    ]


def tone_of(images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """The matrix `(3, 4)` from colors to those of monochrome crops `(n, S, S, 3)`; None if they have color."""
    colors = images[:, ::_SPARSE, ::_SPARSE].reshape(-1, 3).astype(np.float64)
    shades = np.column_stack([colors @ _LUMA, np.ones(len(colors))])
    (factor, shift), *_ = np.linalg.lstsq(shades, colors, rcond=None)
    if (colors - shades @ (factor, shift)).std(0).max() > _DEVIATION:
        return None
    return np.column_stack([np.outer(factor, _LUMA), shift])


def toned(image: NDArray[np.uint8], tone: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An image `(h, w, 3)` in the colors of a `tone`."""
    return np.asarray(cv2.transform(image, tone), np.uint8)


def _scaled(image: NDArray[np.uint8], factor: float, middle: Floats, wanted: Floats) -> NDArray[np.uint8]:
    """`wanted` + `factor` (image - `middle`), rounded."""
    scale, shift = np.diag(np.full(3, factor)), (wanted - factor * middle)[:, None]
    return np.asarray(cv2.transform(image, np.hstack([scale, shift])), np.uint8)


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
        """The noise, `(h, w, 3)` or one zero, that `drawn` `(h, w, 3)` lacks beside `source`, which it replaces."""
        if self._frame % _EVERY == 0:
            lacking = min(_MOST_GRAIN, max(0.0, noise_level(source) ** 2 - noise_level(drawn) ** 2) ** 0.5)
            self._level = lacking if self._frame == 0 else _STEADY * self._level + (1 - _STEADY) * lacking
        self._frame += 1
        if self._level < _LEAST_GRAIN:
            return np.zeros((1, 1, 1), np.float32)
        noise = np.float32(self._level) * self._noise(drawn.shape[0], drawn.shape[1])
        # Repeated, because numpy is slow at broadcasting along a short last axis.
        return np.asarray(cv2.merge([noise] * 3), np.float32)

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
    top, left = (max(0, (side - _MEASURED) // 2) for side in image.shape[:2])
    green = image[top : top + _MEASURED, left : left + _MEASURED, 1].astype(np.float32)
    second = cv2.filter2D(green, -1, _NOISE)[1:-1:2, 1:-1:2]  # a quarter of the pixels is enough for a median
    return float(np.median(np.abs(second))) / (6 * 0.6745)


class Appearance(NamedTuple):
    """How n faces look."""

    colors: NDArray[np.float32]
    """(n, 18, 3) mean colors of patches of chin and cheeks."""
    sharpness: NDArray[np.float32]
    """(n,) of the lower half, `sharpness_of`."""

    def each(self) -> list[Appearance]:
        """The faces one by one."""
        return [Appearance(self.colors[n : n + 1], self.sharpness[n : n + 1]) for n in range(len(self.colors))]


def appearance(images: NDArray[np.uint8], points: Floats) -> Appearance:
    """The appearance of crops `(n, S, S, 3)` with `points` `(n, 131, 2)`, crop units."""
    half = images.shape[1] // 2
    lower = images[:, half:]
    places = points[:, _LIPS] + _WAY[:, None] * (points[:, _JAW] - points[:, _LIPS])
    pixels = np.clip((2 * half * places - (0, half)).astype(int), 0, np.array(lower.shape[2:0:-1]) - 1)
    patch = 2 * int(_PATCH * half) + 1
    colors = [cv2.blur(image, (patch, patch))[at[:, 1], at[:, 0]] for image, at in zip(lower, pixels, strict=True)]
    sharpness = [sharpness_of(image) for image in lower]
    return Appearance(np.stack(colors).astype(np.float32), np.array(sharpness, np.float32))


def unlike(frame: Appearance, pool: Appearance) -> NDArray[np.float32]:
    """How unlike a frame each reference looks, `(R,)`, from 0 (at most the light differs) to 1.

    1 is a reference whose skin is covered where the frame's is not, or the other way round, or that is too blurred.
    """
    apart = np.abs(pool.colors - frame.colors).max(2)
    covered = np.sort(apart, axis=1)[:, -_WORST:].mean(1)
    share = pool.sharpness / np.maximum(frame.sharpness, 1e-6)
    other = np.clip((covered - _ALIKE) / (_UNLIKE - _ALIKE), 0, 1)
    blurred = np.clip((_SOFT - share) / (_SOFT - _TOO_SOFT), 0, 1)
    return np.asarray(np.maximum(other, blurred), np.float32)


def unusual(pool: Appearance) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The few references whose patches have the most unusual colors, as of something before the face, and which of all,
    `(R,)`, have colors that light does not explain."""
    worst = np.sort(np.abs(pool.colors - np.median(pool.colors, axis=0)).max(2), axis=1)[:, -_WORST:].mean(1)
    most = np.argsort(-worst, kind="stable")[:_SUSPECTED]
    return most[worst[most] > _USUAL], worst > _ALIKE


def is_absent(frame: Appearance, pool: Appearance) -> bool:
    """Whether a frame shows something else in the place of the face, such as a flash or a card: half of its patches
    differ from those of every reference by more than light does."""
    apart = np.abs(pool.colors - frame.colors).max(2)
    return bool((np.median(apart, axis=1) > _UNLIKE).all())


def opacities(frames: NDArray[np.intp], scores: Floats, shot: Shot) -> NDArray[np.float32]:
    """Opacity `(n,)` of the rendered mouth of a face seen in `frames` `(n,)` of a shot with `scores` `(n,)`: lower near
    the ends of tracking, but not at a cut, at low scores, and in dissolves, of which each shot has its half."""
    breaks = np.flatnonzero(np.diff(frames) > 1)
    starts = np.concatenate([[0], breaks + 1])
    stops = np.concatenate([breaks, [len(frames) - 1]])
    opacity = np.ones(len(frames))
    for start, stop in zip(starts, stops, strict=True):
        place = np.arange(stop - start + 1)
        if frames[start] > shot.first:
            opacity[start : stop + 1] *= np.minimum(1, (place + 1) / (FADE + 1))
        if frames[stop] < shot.last:
            opacity[start : stop + 1] *= np.minimum(1, (place[::-1] + 1) / (FADE + 1))
    opacity *= np.interp(frames, [shot.first - 0.5, *shot.clear, shot.last + 0.5], [0.5, 1, 1, 0.5])
    seen = np.clip((_steady(scores) - HIDDEN_SCORE) / (SEEN_SCORE - HIDDEN_SCORE), 0, 1)
    return (opacity * seen).astype(np.float32)


def _steady(scores: Floats) -> NDArray[np.float64]:
    """Scores averaged over `FADE` neighbors, so that a single low score causes no flicker."""
    padded = np.pad(scores, (FADE // 2, FADE // 2), mode="edge")
    return np.convolve(padded, np.ones(FADE // 2 * 2 + 1) / (FADE // 2 * 2 + 1), mode="valid")
