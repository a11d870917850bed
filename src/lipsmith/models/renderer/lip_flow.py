"""The flow that separates upper and lower lip, whose motions differ although touching lips are one pixel apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.face.landmarks import INNER_LIP, JAW, LOWER_INNER, NOSE, OUTER_LIP, UPPER_INNER, mouth_box, ranks
from lipsmith.models.renderer.flow import closeness, enlarge, region_grid, softmax_means, unrounded

FADE: Final = 0.04
"""Distance from the nearest lip point, crop units, at which the correction has fallen to 1/e."""
CORNERS: Final = (78, 308)
UPPER: Final = OUTER_LIP[1:10] + INNER_LIP[1:10]
LOWER: Final = OUTER_LIP[11:] + INNER_LIP[11:]
ENDS: Final = (OUTER_LIP[0], OUTER_LIP[10], INNER_LIP[0], INNER_LIP[10])
POINTS: Final = NOSE + UPPER + ENDS + LOWER + JAW
"""In this order, the points of the lips, of the upper side and of the lower side are each consecutive."""
_STEP: Final = 0.5
"""Half of the width, pixels, of the transition between the sides."""
_SLOPE: Final = 0.5
"""Rate at which the transition widens beyond the corners, where the skin is continuous."""
CLOSING: Final = 0.012
"""Gap, crop units, below which lips count as closing."""
TUCK: Final = 0.015
"""Depth, crop units, by which closing lips are taken from inside the flesh of open ones."""
_NARROW: Final = 1e-3
"""Distance, crop units, below which points of the middle line count as vertically aligned."""


@dataclass(frozen=True)
class LipFlows:
    """The network's flow with the lips' correction, crop units. H x W is the computed region, h x w the mouth's box."""

    half: Tensor
    """(b k, 2, H/2, W/2)."""
    lower: Tensor
    """(b k, 2, H, W): as if no pixel were above the middle line of the lips."""
    upper: Tensor
    """(b k, 2, h, w): as if every pixel were above it."""
    above: Tensor
    """(b k, 1, h, w) in [0, 1]: the share of a pixel that is above it."""

    def joined(self, of_lower: Tensor, of_upper: Tensor) -> Tensor:
        """What the lower side gives, `(b k, c, H, W)`, and in the box `(b k, c, h, w)` the mean of both sides.

        For pictures, that is the mean of both lips where they meet in a pixel. A picture sampled at the mean flow would
        show what is between the reference's lips: its teeth.
        """
        rows, columns = mouth_box(*of_lower.shape[-2:])
        height, width = of_lower.shape[-2:]
        around = (columns.start, width - columns.stop, rows.start, height - rows.stop)
        return of_lower + F.pad(self.above * (of_upper - of_lower[..., rows, columns]), around)


class LipFlow(nn.Module):
    """The landmark flow at full resolution in the box around the mouth, separately for the upper and the lower side.

    `LandmarkFlow` gives upper and lower lip, 2 to 8 px apart, one mean motion, so that lips that should close stay
    open. Here a pixel above the middle line of the inner lips follows points of the upper lip but not of the lower lip
    or the jaw, and vice versa below it; corners affect both. The difference from the landmark flow is added to the
    network's flow near the lips, in proportion to the share by which a position moves with the face.
    """

    grid: Tensor

    def __init__(self, size: int, top: int, reach: float) -> None:
        super().__init__()
        self.reach, self.step = reach, _STEP / size
        rows, columns = mouth_box(size - top, size)
        self.box = (..., rows, columns)
        self.cells = (..., slice(rows.start // 4, rows.stop // 4), slice(columns.start // 4, columns.stop // 4))
        self.around = (columns.start, size - columns.stop, rows.start, size - top - rows.stop)
        self.points, self.corners = ranks(POINTS), ranks(CORNERS)
        self.uppers, self.lowers = ranks(UPPER_INNER), ranks(LOWER_INNER)
        self.register_buffer("grid", region_grid(size, top, 1)[rows, columns], persistent=False)

    def forward(
        self, flow: Tensor, moving: Tensor, standing: Tensor, points: Tensor, reference_points: Tensor
    ) -> LipFlows:
        """Correct the network's flow.

        Args:
            flow: `(b k, 2, H/4, W/4)`, the network's flow, crop units.
            moving: same shape, the flow of `LandmarkFlow`.
            standing: `(b k, 1, H/4, W/4)`, the share by which a position belongs to the static background.
            points: `(b, 131, 2)` crop units, of the target.
            reference_points: `(b, k, 131, 2)` crop units.
        """
        upper, lower, above, near = unrounded(self._apart, points, reference_points)
        blended, still = enlarge(moving[self.cells], 4), enlarge(standing[self.cells], 4)
        near = near * (1 - still)
        upper, lower = ((side - blended) * near for side in (upper, lower))
        added = lower + above * (upper - lower)  # ONNX has no lerp but a sum of two cases
        full, half = enlarge(flow, 4), enlarge(flow, 2)
        return LipFlows(
            half=half + F.pad(F.avg_pool2d(added, 2), [side // 2 for side in self.around]),
            lower=full + F.pad(lower, self.around),
            upper=full[self.box] + upper,
            above=above,
        )

    @torch.no_grad()
    def _apart(self, points: Tensor, reference_points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """In the box: displacements `(b k, 2, h, w)` of either side, and shares `(b k, 1, h, w)` in [0, 1]: of a pixel
        above the line, and proximity to the lips.
        """
        height, count = self.grid.shape[0], reference_points.shape[1]
        followed = points[:, self.points]
        close = closeness(rearrange(self.grid, "h w xy -> (h w) 1 xy"), followed, self.reach)
        nearest = close[:, len(NOSE) : -len(JAW)].amax(1)
        near = (nearest * (self.reach / FADE) ** 2).exp()
        moves = rearrange(self._tucked(points, reference_points) - followed[:, None], "b k p xy -> b (k xy) p")
        sides = slice(0, -len(LOWER + JAW)), slice(len(NOSE + UPPER), None)
        moved = softmax_means(close, moves, sides, nearest)
        upper, lower = (rearrange(side, "b (k xy) (h w) -> (b k) xy h w", h=height, k=count) for side in moved)
        above, near = (
            repeat(share, "b (h w) -> (b k) 1 h w", h=height, k=count) for share in (self._above(points)[:, 0], near)
        )
        return upper, lower, above, near

    def _tucked(self, points: Tensor, reference_points: Tensor) -> Tensor:
        """The references' `POINTS`, `(b, k, p, 2)`, with the inner lips moved into the flesh where lips close.

        Landmarks lie within a pixel of the lips' edge. Where lips touch, that pixel would show as a line of teeth.
        """
        gap = (points[:, self.lowers] - points[:, self.uppers]).norm(dim=-1)[:, None]
        apart = reference_points[:, :, self.lowers] - reference_points[:, :, self.uppers]
        open_ = apart.norm(dim=-1)
        depth = TUCK * (1 - gap / CLOSING).clamp(0, 1) * ((open_ - gap) / CLOSING).clamp(0, 1)
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
    ) -> LipFlows:
        """Like LipFlow, without the correction."""
        return same_for_both(enlarge(flow, 4), enlarge(flow, 2))


def same_for_both(full: Tensor, half: Tensor) -> LipFlows:
    """One flow for both sides of the lips, `(n, 2, H, W)` and `(n, 2, H/2, W/2)`."""
    upper = full[(..., *mouth_box(*full.shape[-2:]))]
    return LipFlows(half, full, upper, torch.zeros_like(upper[:, :1]))
