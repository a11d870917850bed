"""The flow that separates upper and lower lip, whose motions differ although touching lips are one pixel apart."""

from __future__ import annotations

from typing import Final

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.face.landmarks import INNER_LIP, JAW, NOSE, OUTER_LIP, ranks
from lipsmith.models.renderer.flow import closeness, enlarge, region_grid, unrounded

LEFT, TOP, RIGHT, BOTTOM = 0.25, 0.46875, 0.75, 0.9375
"""The box, crop units, that contains the lips of any crop with a margin of `FADE`: the lips of 155 people span 0.33 to
0.67 in x and 0.56 to 0.83 in y (0.1th and 99.9th percentile)."""
FADE: Final = 0.04
"""Distance from the nearest lip point, crop units, at which the correction has fallen to 1/e."""
CORNERS: Final = (78, 308)
BETWEEN: Final = ((191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324))
"""Inner lip points, upper and lower, from corner to corner."""
LIPS: Final = OUTER_LIP + INNER_LIP
POINTS: Final = LIPS + JAW + NOSE
UPPER: Final = frozenset(OUTER_LIP[1:10] + INNER_LIP[1:10])
LOWER: Final = frozenset(OUTER_LIP[11:] + INNER_LIP[11:] + JAW)
_STEP: Final = 0.5
"""Half of the width, pixels, of the transition between the sides."""
_SLOPE: Final = 0.5
"""Rate at which the transition widens beyond the corners, where the skin is continuous."""
TOUCHING: Final = 0.012
"""Gap, crop units, below which lips count as closing."""
TUCK: Final = 0.02
"""Depth, crop units, by which closing lips are taken from inside the flesh of open ones."""
_NARROW: Final = 1e-3
"""Distance, crop units, below which points of the middle line count as vertically aligned."""


class LipFlow(nn.Module):
    """The landmark flow at full resolution in the box around the mouth, separately for the upper and the lower side.

    `LandmarkFlow` gives upper and lower lip, 2 to 8 px apart, one mean motion, so that lips that should close stay
    open. Here a pixel above the middle line of the inner lips follows points of the upper lip but not of the lower lip
    or the jaw, and vice versa below it; corners and nose affect both. The difference from the landmark flow is added to
    the network's flow near the lips, in proportion to the share by which a position moves with the face.
    """

    grid: Tensor
    sides: Tensor

    def __init__(self, size: int, top: int, reach: float) -> None:
        super().__init__()
        self.reach, self.step = reach, _STEP / size
        left, right = _whole(LEFT * size), _whole(RIGHT * size)
        first, last = max(_whole(TOP * size), top) - top, _whole(BOTTOM * size) - top
        self.cells = (..., slice(first // 4, last // 4), slice(left // 4, right // 4))
        self.around = (left, size - right, first, size - top - last)
        self.points, self.corners = ranks(POINTS), ranks(CORNERS)
        self.uppers, self.lowers = (ranks(side) for side in zip(*BETWEEN, strict=True))
        membership = [[point in UPPER for point in POINTS], [point in LOWER for point in POINTS]]
        self.register_buffer("sides", torch.tensor(membership).float(), persistent=False)
        self.register_buffer("grid", region_grid(size, top, 1)[first:last, left:right], persistent=False)

    def forward(
        self, flow: Tensor, moving: Tensor, standing: Tensor, points: Tensor, reference_points: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The network's flow at full and at half resolution, `(b k, 2, H, W)` each, crop units.

        Args:
            flow: `(b k, 2, H/4, W/4)`, the network's flow.
            moving: same shape, the flow of `LandmarkFlow`.
            standing: `(b k, 1, H/4, W/4)`, the share by which a position belongs to the static background.
            points: `(b, 131, 2)` crop units, of the target.
            reference_points: `(b, k, 131, 2)` crop units.
        """
        apart, near = unrounded(self._apart, points, reference_points)
        blended, still = enlarge(moving[self.cells], 4), enlarge(standing[self.cells], 4)
        added = (apart - blended) * near * (1 - still)
        full, half = F.pad(added, self.around), F.pad(F.avg_pool2d(added, 2), [side // 2 for side in self.around])
        return enlarge(flow, 4) + full, enlarge(flow, 2) + half

    @torch.no_grad()
    def _apart(self, points: Tensor, reference_points: Tensor) -> tuple[Tensor, Tensor]:
        """Displacements `(b k, 2, h, w)` in the box, and proximity to the lips, `(b k, 1, h, w)` in [0, 1]."""
        height, count = self.grid.shape[0], reference_points.shape[1]
        cells = rearrange(self.grid, "h w xy -> (h w) 1 xy")
        followed = points[:, self.points]
        close = closeness(cells, followed, self.reach)
        above = self._above(points)
        shares = torch.cat([above, 1 - above], 1).clamp_min(1e-12).log().transpose(1, 2)
        weights = (close + shares @ self.sides).softmax(-1)
        moves = rearrange(self._tucked(points, reference_points) - followed[:, None], "b k p xy -> b p (k xy)")
        near = (close[..., : len(LIPS)].amax(-1) * (self.reach / FADE) ** 2).exp()
        return (
            rearrange(weights @ moves, "b (h w) (k xy) -> (b k) xy h w", h=height, k=count),
            repeat(near, "b (h w) -> (b k) 1 h w", h=height, k=count),
        )

    def _tucked(self, points: Tensor, reference_points: Tensor) -> Tensor:
        """The references' `POINTS`, `(b, k, p, 2)`, with the inner lips moved into the flesh where lips close.

        Landmarks lie within a pixel of the lips' edge. Where lips touch, that pixel would show as a line of teeth.
        """
        gap = (points[:, self.lowers] - points[:, self.uppers]).norm(dim=-1)[:, None]
        apart = reference_points[:, :, self.lowers] - reference_points[:, :, self.uppers]
        open_ = apart.norm(dim=-1)
        depth = TUCK * (1 - gap / TOUCHING).clamp(0, 1) * ((open_ - gap) / TOUCHING).clamp(0, 1)
        shift = apart * (depth / open_.clamp_min(_NARROW))[..., None]
        tucked = reference_points.clone()
        tucked[:, :, self.uppers] -= shift
        tucked[:, :, self.lowers] += shift
        return tucked[:, :, self.points]

    def _above(self, points: Tensor) -> Tensor:
        """Position of the pixels relative to the lips' middle line, `(b, 1, h w)` from 0 (below) to 1 (above).

        The line runs from corner to corner and continues straight beyond them, where the transition widens.
        """
        cells, points = rearrange(self.grid, "h w xy -> xy (h w)"), points.transpose(1, 2)
        right, left = (points[..., corner, None] for corner in self.corners)
        x, y = F.normalize(left - right, dim=1).unbind(1)
        # Rows: the direction from corner to corner, and the perpendicular pointing down.
        axes = torch.stack([torch.cat([x, y], 1), torch.cat([-y, x], 1)], 1)
        middles = (points[..., self.uppers] + points[..., self.lowers]) / 2
        line = axes @ (torch.cat([right, middles, left], 2) - right)
        here = axes @ (cells - right)
        along, down = here[:, :1], here[:, 1:]
        steps, starts = line.diff(dim=2), line[:, :1, :-1].transpose(1, 2)
        passed = ((along - starts) / steps[:, :1].transpose(1, 2).clamp_min(_NARROW)).clamp(0, 1)
        height = steps[:, 1:] @ passed - down
        beyond = (-along).clamp_min(0) + (along - line[:, :1, -1:]).clamp_min(0)
        above: Tensor = (0.5 + height / (2 * (self.step + _SLOPE * beyond))).clamp(0, 1)
        return above


class NoLipFlow(nn.Module):
    """Leaves the network's flow unchanged."""

    def forward(
        self, flow: Tensor, moving: Tensor, standing: Tensor, points: Tensor, reference_points: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Like LipFlow, without the correction."""
        return enlarge(flow, 4), enlarge(flow, 2)


def _whole(pixels: float) -> int:
    """The nearest multiple of 4, the width in pixels of a cell of features at a quarter of the resolution."""
    return 4 * round(pixels / 4)
