"""Films of a large face for docs/pictures.py, drawn from the demo's portrait.

The portrait's face is only 91 pixels wide. It is enlarged, its edges are made steep, and pores, freckles and the lines
of lips are drawn on it. Its jaw moves, and opens over a drawn palate and tongue.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face import FaceTracker
from lipsmith.face.landmarks import INNER_LIP, OUTER_LIP
from lipsmith.media import VideoWriter

FACE: Final = Path(__file__).resolve().parents[1] / "demo" / "face.png"
RATE: Final = 25
SCALE: Final = 4.4
"""How many times as large as the portrait its face is drawn: 400 pixels wide."""
PALATE: Final = np.array([45, 14, 16], np.float32)
TONGUE: Final = np.array([150, 72, 74], np.float32)
FRECKLE: Final = np.array([0.35, 0.5, 0.55], np.float32)
"""Share of each color that a freckle takes away."""
CORNERS: Final = (61, 291)
CHIN: Final = 152
LOWER_EDGE: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""The inner edge of the lower lip, from corner to corner."""
_OVAL: Final = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377)
OVAL: Final = (*_OVAL, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)

Image = NDArray[np.uint8]
Values = NDArray[np.float32]


class DrawnFace:
    """The portrait, `SCALE` times as large, with drawn detail and a mouth that opens."""

    def __init__(self) -> None:
        portrait = np.asarray(cv2.imread(str(FACE), cv2.IMREAD_COLOR_RGB), np.uint8)
        large = np.asarray(cv2.resize(portrait, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC), np.uint8)
        self.mesh = FaceTracker().track(large).faces[0].mesh
        self.center = self.mesh[CORNERS, :].mean(0)
        self.unit = np.float32(np.linalg.norm(self.mesh[CORNERS[1]] - self.mesh[CORNERS[0]]))
        """Width of the mouth, pixels."""
        self.y, self.x = np.mgrid[: large.shape[0], : large.shape[1]].astype(np.float32)
        self.picture = self._detailed(steep(large.astype(np.float32)))

    def frame(self, drop: float, narrow: float) -> Image:
        """The face `(H, W, 3)` whose lower lip is lower by `drop`, and whose mouth is narrower by `narrow`, than in the
        portrait; in widths of the mouth.
        """
        aside, below = (self.x - self.center[0]) / self.unit, (self.y - self.center[1]) / self.unit
        x = self.x + np.float32(narrow) * self.unit * aside * np.exp(-((aside / 0.9) ** 2) - (below / 0.6) ** 2)
        y = self.y.copy()
        for _ in range(4):
            y = self.y - np.float32(drop) * self.unit * sampled(self._jaw, x, y)
        cavity = PALATE + sampled(self._tongue, x, y)[..., None] * (TONGUE - PALATE)
        inside = mixed(sampled(self.picture, x, self.y), cavity, sampled(self._cavity, x, self.y))
        drawn = mixed(inside, sampled(self.picture, x, y), sampled(self._lower, x, y))
        return np.asarray(np.clip(drawn + 0.5, 0, 255), np.uint8)

    @cached_property
    def _jaw(self) -> Values:
        """How far each place moves with the lower lip: 1 at lip and chin, 0 at the mouth's corners and the collar."""
        chin = (self.mesh[CHIN] - self.center) / self.unit
        aside, below = (self.x - self.center[0]) / self.unit, (self.y - self.center[1]) / self.unit
        reach = 0.5 + 0.75 * np.clip(below / chin[1], 0, 1)
        beside = np.clip(1 - (np.abs(aside - below * chin[0] / chin[1]) / reach) ** 3, 0, 1)
        under = np.clip((chin[1] + 0.45 - below) / 0.5, 0, 1)
        return np.asarray(beside * under * under * (3 - 2 * under), np.float32)

    @cached_property
    def _lower(self) -> Values:
        """1 below the corners of the mouth and the inner edge of the lower lip."""
        edge, (height, width) = self.mesh[LOWER_EDGE, :], self.x.shape
        around = [[width, edge[-1, 1]], [width, height], [0, height], [0, edge[0, 1]]]
        return filled(np.concatenate([edge, around]), self.x.shape, 0.7)

    @cached_property
    def _cavity(self) -> Values:
        """1 where an opening mouth shows its inside."""
        left, right = self.mesh[[LOWER_EDGE[0], LOWER_EDGE[-1]], 0]
        return np.asarray(self._lower * ((self.x > left) & (self.x < right)), np.float32)

    @cached_property
    def _tongue(self) -> Values:
        """1 at a tongue behind the lower lip."""
        x, y = self.mesh[14]
        radius = ((self.x - x) / (0.27 * self.unit)) ** 2 + ((self.y - y) / self.unit - 0.05) ** 2 / 0.17**2
        return np.asarray(np.clip(2 - 2 * radius, 0, 1), np.float32)

    def _detailed(self, picture: Values) -> Values:
        """The enlarged portrait with pores, freckles and the lines of the lips."""
        size, dice = self.x.shape, np.random.default_rng(1)
        outer = filled(self.mesh[OUTER_LIP, :], size, 2)
        lips, skin = outer - filled(self.mesh[INNER_LIP, :], size, 1), filled(self.mesh[OVAL, :], size, 6) - outer
        noise, freckles = dice.standard_normal(size).astype(np.float32), np.zeros(size, np.float32)
        pores = blurred(noise, 0.9) - blurred(noise, 2.5)
        lines = blurred(noise, 1, 7) - blurred(noise, 3, 7)
        for x, y in dice.normal(self.mesh[[1, CHIN]].mean(0), self.unit * np.array([0.7, 0.6]), (260, 2)):
            place, radius, depth = (round(16 * x), round(16 * y)), int(dice.integers(14, 34)), dice.uniform(0.15, 0.5)
            cv2.circle(freckles, place, radius, depth, -1, cv2.LINE_AA, 4)
        light = 15 * np.clip(skin, 0, 1) * pores + 80 * np.clip(lips, 0, 1) * lines
        shade = blurred(freckles, 0.6) * np.clip(skin, 0, 1)
        return np.asarray(picture * (1 - shade[..., None] * FRECKLE) + light[..., None], np.float32)


def write_film(path: Path, side: int, seconds: float, moving: bool) -> Path:
    """Write a silent film, `side` pixels wide and high, of a face that speaks; its head may be `moving`."""
    face = DrawnFace()
    with VideoWriter(path, side, side, RATE) as film:
        for number, (drop, narrow) in enumerate(shapes(seconds)):
            picture, time = face.frame(drop, narrow), number / RATE
            film.write(shrunk(nodding(picture, time) if moving else picture, side), time)
    return path


def shapes(seconds: float) -> Iterator[tuple[float, float]]:
    """`drop` and `narrow` of every frame: a mouth that closes and opens, more or less far, nearly twice a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    far = 0.725 + 0.275 * np.sin(2 * np.pi * time / 1.7)
    drop = -0.13 + 0.18 * far * (1 - np.cos(2 * np.pi * time / 0.56))
    narrow = 0.12 + 0.12 * np.sin(2 * np.pi * time / 1.9)
    yield from zip(drop.tolist(), narrow.tolist(), strict=True)


def nodding(picture: Image, time: float) -> Image:
    """The picture moved to the side, turned and enlarged, and back, once in three seconds."""
    swing, (height, width) = float(np.sin(2 * np.pi * time / 3)), picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 8 * swing, 1 + 0.06 * swing)
    matrix[0, 2] += 0.04 * width * swing
    moved = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def shrunk(picture: Image, side: int) -> Image:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def steep(picture: Values) -> Values:
    """A blurred picture `(H, W, 3)` with steep edges, by a shock filter (S. Osher and L. Rudin, 1990)."""
    for _ in range(4):
        gray = blurred(picture.mean(-1), 2)
        x, y, xx, yy, xy = (cv2.Sobel(gray, -1, *order) for order in ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1)))
        convex = np.tanh((x * x * xx + 2 * x * y * xy + y * y * yy) / (x * x + y * y + 1) / 4)[..., None]
        darker, lighter = cv2.erode(picture, np.ones((3, 3))), cv2.dilate(picture, np.ones((3, 3)))
        picture = mixed(picture, np.where(convex > 0, darker, lighter), 0.35 * np.abs(convex[..., 0]))
    return picture


def filled(polygon: NDArray[np.floating[Any]], size: tuple[int, ...], soft: float) -> Values:
    """1 inside a polygon `(n, 2)`, in a picture of `size` `(H, W)`; the edge is blurred by `soft` pixels."""
    canvas = np.zeros(size, np.float32)
    cv2.fillPoly(canvas, [np.round(16 * polygon).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return blurred(canvas, soft)


def blurred(values: Values, across: float, down: float = 0) -> Values:
    """A Gaussian blur with these deviations in pixels; `down` 0: as `across`."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigmaX=across, sigmaY=down), np.float32)


def sampled(picture: Values, x: Values, y: Values) -> Values:
    """The picture at places `x` and `y` `(H, W)`."""
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)


def mixed(one: Values, other: Values, share: Values) -> Values:
    """Two pictures `(H, W, 3)`; `share` `(H, W)` of the other."""
    return np.asarray(one + share[..., None] * (other - one), np.float32)
