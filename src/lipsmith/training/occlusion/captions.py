"""Draws what editing programs lay over pictures: captions with outlines or in boxes, watermarks and stickers.

A store of them is drawn once. Each is drawn twice in one style, with other words: references show the words of other
frames.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lipsmith.inference.occlusion import CELLS
from lipsmith.training.occlusion.objects import Random

Mask = NDArray[np.uint8]
Layer = NDArray[np.float32]
Covered = tuple[Tensor, Tensor]
"""Pictures `(B, 3, h, w)` with something before them, and where it is, `(B, 1, h, w)`; both in [0, 1]."""

_FINER: Final = 8
"""Pixels of a drawing per cell."""
_WIDTH, _HEIGHT = (_FINER * cells for cells in CELLS)
_FONTS: Final = 8
_LETTERS: Final = string.ascii_letters + string.ascii_uppercase + string.digits + ".,!?'-"
_SMALLEST, _LARGEST = 0.024, 0.14
"""Heights of letters, crop units."""
_BOXES, _STICKERS = 0.4, 0.12
"""Shares of captions that have a box behind them, and of pictures instead of captions."""
_EDGE: Final = 0.15
"""Of letters and their outlines, in heights of letters: it counts as covered, too."""


@dataclass(frozen=True)
class _Style:
    """What captions of one film have in common; lengths in pixels of the drawing."""

    font: int
    height: float
    thick: int
    turn: float
    """Degrees."""
    center: tuple[float, float]
    lines: int
    ink: tuple[Layer, float]
    """Color `(3,)` in [0, 1] and opacity."""
    outline: tuple[Layer, float] | None
    """Color and width in heights of letters."""
    box: tuple[Layer, float] | None
    """Color and opacity."""
    sticker: bool


class Captions:
    """Drawn captions on a device."""

    def __init__(self, count: int, device: torch.device) -> None:
        random = np.random.default_rng(0)
        drawn = []
        for _ in range(count):
            style = _style(random)
            drawn.append(np.stack([_drawn(style, random) for _ in range(2)]))
        self.layers = torch.from_numpy(np.stack(drawn)).permute(0, 1, 4, 2, 3).to(device)
        """(n, 2, 5, h, w): color times opacity, opacity, and what counts as covered."""

    def over(self, filmed: Tensor, drawn: Tensor, random: Random) -> tuple[Covered, Covered]:
        """A caption over each of the filmed pictures `(B, 3, h, w)` in [0, 1], and one of the same style, half of them
        with other words, over the drawn ones."""
        count, device = len(filmed), filmed.device
        rank = torch.randint(0, len(self.layers), (count,), device=device, generator=random.generator)
        other = torch.randint(0, 2, (count,), device=device, generator=random.generator)
        zoom = torch.exp(random.between(-0.2, 0.2, count))
        theta = torch.eye(2, 3, device=device)[None] * zoom[:, None, None]
        theta[:, :, 2] = random.between(-0.3, 0.3, count, 2)
        places = F.affine_grid(theta, list(filmed.shape), align_corners=False)
        return (
            _laid(filmed, self.layers[rank, torch.zeros_like(other)], places),
            _laid(drawn, self.layers[rank, other], places),
        )


def _laid(pictures: Tensor, layers: Tensor, places: Tensor) -> Covered:
    placed = F.grid_sample(layers, places, align_corners=False)
    return pictures * (1 - placed[:, 3:4]) + placed[:, :3], placed[:, 4:]


def _style(random: np.random.Generator) -> _Style:
    height = _WIDTH * float(np.exp(random.uniform(np.log(_SMALLEST), np.log(_LARGEST))))
    boxed, turned, clear = random.random() < _BOXES, random.random() < 0.2, random.random() < 0.15
    outlined = random.random() < (0.2 if boxed else 0.65)
    return _Style(
        font=int(random.integers(_FONTS)) + int(random.choice([0, cv2.FONT_ITALIC])),
        height=height,
        thick=max(1, round(height * random.uniform(0.04, 0.24))),
        turn=random.normal(0, 10) if turned else 0.0,
        center=(_WIDTH * random.uniform(0.25, 0.75), _HEIGHT * random.uniform(0.1, 0.95)),
        lines=1 + int(random.random() < 0.25),
        ink=(_color(random, 0.5), random.uniform(0.35, 0.7) if clear else 1.0),
        outline=(_color(random, 0.1), random.uniform(0.04, 0.2)) if outlined else None,
        box=(_color(random, 0.3), random.uniform(0.4, 1) if random.random() < 0.5 else 1.0) if boxed else None,
        sticker=random.random() < _STICKERS,
    )


def _color(random: np.random.Generator, white: float) -> Layer:
    """White in a share of `white` of the cases, otherwise black as often as any color."""
    kind = random.random()
    if kind < white:
        return np.full(3, random.uniform(0.85, 1), np.float32)
    if kind < (1 + white) / 2:
        return np.full(3, random.uniform(0, 0.2), np.float32)
    return random.uniform(0, 1, 3).astype(np.float32)


def _drawn(style: _Style, random: np.random.Generator) -> Layer:
    """Color times opacity, opacity and what counts as covered, `(h, w, 5)`, of words or of a sticker."""
    layer = np.zeros((CELLS[1], CELLS[0], 4), np.float32)
    if style.sticker:
        shape = _blob(style.center, style.height * random.uniform(0.6, 2), random)
        _lay(layer, shape, *style.ink)
        for _ in range(int(random.integers(4))):
            _lay(layer, _blob(style.center, style.height * 0.5, random) & shape, _color(random, 0.2), 1.0)
        return np.dstack([layer, _cells(shape)])
    letters = _letters(style, random)
    outlined = _widened(letters, style.outline[1] * style.height) if style.outline else letters
    covered = _box(letters, style, random) if style.box else _widened(outlined, _EDGE * style.height)
    letters, outlined, covered = (_turned(mask, style) for mask in (letters, outlined, covered))
    if style.box:
        _lay(layer, covered, *style.box)
    if style.outline:
        _lay(layer, outlined, style.outline[0], style.ink[1])
    _lay(layer, letters, *style.ink)
    return np.dstack([layer, _cells(covered)])


def _letters(style: _Style, random: np.random.Generator) -> Mask:
    """Lines of random words, `(8 h, 8 w)`, 0 or 255."""
    mask = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    (_, tall), _ = cv2.getTextSize("X", style.font, 1, 2)
    scale = style.height / tall
    x, y = style.center
    for line in range(style.lines):
        words = ["".join(random.choice(list(_LETTERS), random.integers(1, 9))) for _ in range(random.integers(1, 4))]
        text = " ".join(words)
        (wide, _), _ = cv2.getTextSize(text, style.font, scale, style.thick)
        place = (round(x - wide / 2), round(y + style.height * (0.5 + 1.5 * line)))
        cv2.putText(mask, text, place, style.font, scale, 255, style.thick, cv2.LINE_AA)
    return mask


def _box(letters: Mask, style: _Style, random: np.random.Generator) -> Mask:
    """A box behind letters, with round corners."""
    x, y, width, height = cv2.boundingRect(letters)
    pad, corner = style.height * random.uniform(0.15, 0.8), style.height * random.uniform(0, 0.5)
    box = np.zeros_like(letters)
    reach = round(pad - corner)
    cv2.rectangle(box, (x - reach, y - reach), (x + width + reach, y + height + reach), 255, -1)
    return _widened(box, corner)


def _blob(center: tuple[float, float], radius: float, random: np.random.Generator) -> Mask:
    """A filled ellipse near a place."""
    mask = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    at = np.round(center + random.normal(0, 0.4 * radius, 2)).astype(int)
    axes = np.maximum(1, np.round(radius * random.uniform(0.5, 1.2, 2))).astype(int)
    cv2.ellipse(mask, at.tolist(), axes.tolist(), random.uniform(0, 180), 0, 360, 255, -1)
    return mask


def _turned(mask: Mask, style: _Style) -> Mask:
    matrix = cv2.getRotationMatrix2D(style.center, style.turn, 1)
    return np.asarray(cv2.warpAffine(mask, matrix, (_WIDTH, _HEIGHT)), np.uint8)


def _widened(mask: Mask, reach: float) -> Mask:
    side = 2 * max(0, round(reach)) + 1
    return np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.uint8)


def _lay(layer: Layer, shape: Mask, color: Layer, opacity: float) -> None:
    """Put a shape of one color onto a layer `(h, w, 4)`."""
    share = opacity * _cells(shape)[..., None]
    layer += share * (np.append(color, np.float32(1)) - layer)


def _cells(mask: Mask) -> Layer:
    """The share of each cell that a mask covers, `(h, w)` in [0, 1]."""
    return np.asarray(cv2.resize(mask, CELLS, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
