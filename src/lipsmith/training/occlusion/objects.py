"""Draws objects before faces: hands, sticks with a head such as microphones, and cups, phones and the like.

They are made of capsules and rounded boxes, lit from one side, and cast a soft shadow. Their surface is skin of the
person or of another one, a piece of a picture, or of one color. Lengths are crop units: a lower half of a crop spans
[0, 1] in x and [0, 0.5] in y.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

_FINGERS: Final = 5
_NOWHERE: Final = 10.0
"""A distance from everything."""
_HANDS, _STICKS = 0.5, 0.72
"""Shares of the objects: below the first are hands, from there to the second sticks."""
_CHEEK: Final = (0.03, 0.23, 0.23, 0.77)
"""Top, bottom, left and right of mostly skin in a lower half, crop units."""


class Random:
    """Random numbers of one generator, on its device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform ones."""
        return low + (high - low) * torch.rand(shape, device=self.generator.device, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Normal ones."""
        return torch.randn(shape, device=self.generator.device, generator=self.generator)

    def smooth(self, count: int, cells: int, like: Tensor) -> Tensor:
        """Noise of deviation about 1, `(count, h, w)` as `like`, with `cells` waves from top to bottom."""
        coarse = self.normal(count, 1, cells, 2 * cells)
        return F.interpolate(coarse, like.shape[-2:], mode="bicubic", align_corners=False)[:, 0]

    def some(self, share: float, count: int) -> Tensor:
        """True `(count, 1, 1, 1)` in that share of the cases."""
        return self.between(0, 1, count, 1, 1, 1) < share


@dataclass(frozen=True)
class Shapes:
    """The outlines of B objects."""

    distance: Tensor
    """(B, h, w), crop units, negative inside."""
    depth: Tensor
    """(B, h, w) >= 0: how far a place is from the edge of the part (finger, stick) that it belongs to."""
    hands: Tensor
    """(B, 1, 1, 1) whether it is a hand."""


def occluded(filmed: Tensor, others: Tensor, random: Random) -> tuple[Tensor, Tensor]:
    """Pictures with an object before each, `(B, 3, h, w)` in [0, 1], and its opacity `(B, 1, h, w)`.

    `filmed`: `(B, 3, h, w)` in [0, 1], lower halves of crops; `others`: the same of other people.
    """
    count = len(filmed)
    shapes = _shapes(random, filmed)
    soft = 0.003 * torch.exp(random.between(-1, 0.9, count, 1, 1))
    opacity = torch.sigmoid(-shapes.distance / soft)[:, None]
    surface = _surface(filmed, others, shapes, random) * _light(shapes, random)[:, None]
    down, right = (int(value) for value in random.between(-2, 3, 2))
    cast = blurred(torch.roll(opacity, (down, right), (2, 3)), float(random.between(0.5, 2.5, 1)))
    shaded = filmed * (1 - random.between(0, 0.45, count, 1, 1, 1) * cast)
    return torch.lerp(shaded, surface, opacity).clamp(0, 1), opacity


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Pictures `(B, C, h, w)` blurred by a Gaussian of `sigma` pixels."""
    reach, channels = int(3 * sigma + 1), pictures.shape[1]
    places = torch.arange(-reach, reach + 1, device=pictures.device)
    kernel = torch.softmax(-(places**2) / (2 * sigma**2), 0)
    across = kernel.expand(channels, 1, 1, -1)
    padded = F.pad(pictures, (reach, reach, reach, reach), "replicate")
    return F.conv2d(F.conv2d(padded, across, groups=channels), across.mT, groups=channels)


def _shapes(random: Random, like: Tensor) -> Shapes:
    count = len(like)
    kind = random.between(0, 1, count, 1, 1, 1)
    hand, stick, box = (draw(random, _grid(like), count) for draw in (_hand, _stick, _box))
    parts = torch.where(kind < _HANDS, hand, torch.where(kind < _STICKS, stick, box))
    wavy = random.smooth(count, 6, like) * random.between(0, 0.016, count, 1, 1)
    return Shapes(parts.amin(1) + wavy, (-parts).amax(1).clamp_min(0), kind < _HANDS)


def _grid(like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the pixels `(h, w)` of lower halves."""
    rows, columns = like.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(rows, device=like.device) + 0.5, torch.arange(columns, device=like.device) + 0.5, indexing="ij"
    )
    return x / columns, y / columns


def _hand(random: Random, grid: tuple[Tensor, Tensor], count: int) -> Tensor:
    """Distances `(B, 6, h, w)` from up to five fingers and the palm, which comes from below or from a side."""
    low, mid, beside = (random.between(*span, count) for span in ((0.04, 0.96), (0.27, 0.7), (-0.16, 0.32)))
    from_side = random.between(0, 1, count) < 0.5
    right = random.between(0, 1, count) < 0.5
    palm_x = torch.where(from_side, torch.where(right, 1 - beside, beside), low)
    palm = torch.stack([palm_x, torch.where(from_side, random.between(0, 0.6, count), mid)], 1)
    aimed = torch.stack([random.between(0.27, 0.73, count), random.between(-0.08, 0.4, count)], 1)
    angle = torch.atan2(*(aimed - palm).flip(1).unbind(1))
    fingers = torch.randint(1, _FINGERS + 1, (count,), device=palm.device, generator=random.generator)
    radius = random.between(0.03, 0.07, count)
    rank = torch.arange(_FINGERS, device=palm.device) - (fingers[:, None] - 1) / 2
    angles = angle[:, None] + random.between(0, 0.22, count, 1) * rank + 0.05 * random.normal(count, _FINGERS)
    base = palm[:, None] + _direction(angle + pi / 2)[:, None] * (1.9 * rank * radius[:, None])[..., None]
    length = random.between(0.2, 0.6, count, 1) * random.between(0.7, 1.1, count, _FINGERS)
    sizes = [radius[:, None] * random.between(*span, count, _FINGERS) for span in ((0.95, 1.2), (0.7, 1.0))]
    drawn = _capsules(grid, base, base + _direction(angles) * length[..., None], *sizes)
    missing = torch.arange(_FINGERS, device=palm.device) >= fingers[:, None]
    drawn = drawn + _NOWHERE * missing[..., None, None]
    wrist, width = palm - 0.31 * _direction(angle), radius * fingers
    back = _capsules(grid, wrist[:, None], palm[:, None], 1.05 * width[:, None] + 0.023, 0.95 * width[:, None] + 0.016)
    return torch.cat([drawn, back], 1)


def _stick(random: Random, grid: tuple[Tensor, Tensor], count: int) -> Tensor:
    """Distances `(B, 6, h, w)` from a stick from below, and from its round head."""
    foot = torch.stack([random.between(-0.08, 1.08, count), random.between(0.5, 0.8, count)], 1)[:, None]
    head = torch.stack([random.between(0.2, 0.8, count), random.between(0, 0.47, count)], 1)[:, None]
    thick = random.between(0.016, 0.08, count, 1)
    ball = thick * random.between(0.8, 2.2, count, 1)
    drawn = torch.cat([_capsules(grid, foot, head, thick, thick), _capsules(grid, head, head, ball, ball)], 1)
    return _filled_up(drawn)


def _box(random: Random, grid: tuple[Tensor, Tensor], count: int) -> Tensor:
    """Distances `(B, 6, h, w)` from a rounded box."""
    x, y = grid
    middle = (random.between(*span, count, 1, 1) for span in ((0.08, 0.92), (0.08, 0.65)))
    half = random.between(0.05, 0.3, 2, count, 1, 1)
    turn, corner = random.between(-pi / 2, pi / 2, count, 1, 1), half.amin(0) * random.between(0.05, 0.9, count, 1, 1)
    right, down = (axis - place for axis, place in zip((x, y), middle, strict=True))
    along = (right * torch.cos(turn) + down * torch.sin(turn)).abs() - half[0] + corner
    across = (down * torch.cos(turn) - right * torch.sin(turn)).abs() - half[1] + corner
    outside = torch.sqrt(along.clamp_min(0) ** 2 + across.clamp_min(0) ** 2 + 1e-10)
    return _filled_up((outside + torch.maximum(along, across).clamp_max(0) - corner)[:, None])


def _filled_up(drawn: Tensor) -> Tensor:
    """As many parts as a hand has."""
    return F.pad(drawn, (0, 0, 0, 0, 0, _FINGERS + 1 - drawn.shape[1]), value=_NOWHERE)


def _capsules(grid: tuple[Tensor, Tensor], begin: Tensor, end: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Distances `(B, K, h, w)` from capsules between points `(B, K, 2)`, with radii `(B, K)` at both."""
    to = (end - begin)[..., None, None]
    x, y = (axis - place for axis, place in zip(grid, begin[..., None, None].unbind(2), strict=True))
    share = ((x * to[:, :, 0] + y * to[:, :, 1]) / (to.square().sum(2) + 1e-6)).clamp(0, 1)
    distance = torch.sqrt((x - share * to[:, :, 0]) ** 2 + (y - share * to[:, :, 1]) ** 2 + 1e-10)
    return distance - torch.lerp(first[..., None, None], last[..., None, None], share)


def _direction(angle: Tensor) -> Tensor:
    return torch.stack([torch.cos(angle), torch.sin(angle)], -1)


def _surface(filmed: Tensor, others: Tensor, shapes: Shapes, random: Random) -> Tensor:
    """What the objects look like, `(B, 3, h, w)`, without light: skin, one color, or a piece of a picture."""
    count, (rows, columns) = len(filmed), filmed.shape[-2:]
    source = torch.where(random.some(0.5, count), filmed, others)
    turn, zoom = random.between(-pi, pi, count), random.between(0.15, 0.8, count)
    cos, sin = zoom * torch.cos(turn), zoom * torch.sin(turn)
    shift = random.between(-0.6, 0.6, 2, count)
    theta = torch.stack([torch.stack([cos, -sin, shift[0]], 1), torch.stack([sin, cos, shift[1]], 1)], 1)
    places = F.affine_grid(theta, [count, 3, rows, columns], align_corners=False)
    piece = F.grid_sample(source, places, padding_mode="reflection", align_corners=False)
    pattern = random.between(0.1, 1, count, 1, 1, 1) * (piece - piece.mean((2, 3), keepdim=True))
    top, bottom, left, right = (int(share * columns) for share in _CHEEK)
    skin = source[:, :, top:bottom, left:right].mean((2, 3), keepdim=True) + pattern
    gray, color = random.between(0, 1, count, 1, 1, 1), random.between(0, 1, count, 3, 1, 1)
    plain = torch.lerp(gray, color, random.between(0, 1, count, 1, 1, 1)) + 0.4 * pattern
    kind = random.between(0, 1, count, 1, 1, 1)
    of_skin = torch.where(shapes.hands, 0.75, 0.15)
    of_color = torch.where(shapes.hands, 0.85, 0.6)
    mixed = torch.where(kind < of_skin, skin, torch.where(kind < of_color, plain, piece))
    return mixed * torch.exp(0.22 * random.normal(count, 1, 1, 1) + 0.04 * random.normal(count, 3, 1, 1))


def _light(shapes: Shapes, random: Random) -> Tensor:
    """By what light multiplies the surface, `(B, h, w)`: from one side, darker toward the edge, and uneven."""
    depth, count = shapes.depth, len(shapes.depth)
    # Slopes, which are between -1 and 1, by the distance of two pixels.
    step = 2 / depth.shape[-1]
    slope_x = F.pad(depth[:, :, 2:] - depth[:, :, :-2], (1, 1)) / step
    slope_y = F.pad(depth[:, 2:] - depth[:, :-2], (0, 0, 1, 1)) / step
    angle = random.between(-pi, pi, count, 1, 1)
    side = (slope_x * torch.cos(angle) + slope_y * torch.sin(angle)) / (1 + 19 * depth)
    edge = torch.exp(-depth / 0.012)
    strengths = random.between(0, 0.45, 2, count, 1, 1)
    uneven = 0.08 * random.smooth(count, 2, depth) + 0.03 * random.smooth(count, 5, depth)
    return 1 + strengths[0] * side - strengths[1] * edge + uneven
