"""Grids, warps, and the flow from target to reference that landmarks alone determine.

Positions are in crop units, `(x, y)` in [0, 1]; `grid_sample` is always called with `align_corners=False`, so that
position p is sampled at 2p - 1 and zero flow is exactly the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

T = TypeVar("T")
_REACH: Final = 0.04
"""How far a landmark moves the cells around it, s, in crop units."""
_EXTREME: Final = 60.0
"""Logarithm of the largest weight of a point, and of 1 by the smallest: single precision holds their products."""


def region_grid(size: int, top: int, step: int) -> Tensor:
    """Centers `(H, W, 2)` of cells of `step` pixels in rows `top` to `size` of the crop, in crop units."""
    ys = (torch.arange(top, size, step) + step / 2) / size
    xs = (torch.arange(0, size, step) + step / 2) / size
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)


def positions(grid: Tensor, displacement: Tensor) -> Tensor:
    """Positions `(n, H, W, 2)` that the displacements `(n, 2, H, W)` reach from `grid` `(H, W, 2)`."""
    return grid + rearrange(displacement, "n xy h w -> n h w xy")


def warp(features: Tensor, positions: Tensor) -> Tensor:
    """Features `(B, C, h, w)` of the whole crop, sampled at positions `(B, H, W, 2)`: `(B, C, H, W)`."""
    if torch.is_grad_enabled():  # on a CPU, torch takes NaN for 0, but crashes where it computes the gradient there
        positions = positions.nan_to_num(0.0)
    return F.grid_sample(features, positions * 2 - 1, mode="bilinear", padding_mode="border", align_corners=False)


class LandmarkFlow(nn.Module):
    """Displacement of each cell from nearby landmarks: sum_i softmax_i(-|g - L_i|^2 / s^2) (R_i - L_i)."""

    grid: Tensor

    def __init__(self, grid: Tensor) -> None:
        super().__init__()
        self.register_buffer("grid", grid, persistent=False)

    @torch.no_grad()
    def forward(self, points: Tensor, reference_points: Tensor) -> tuple[Tensor, Tensor]:
        """Target points `(B, 131, 2)` and reference points `(B, k, 131, 2)` to displacements and remoteness.

        Displacements are `(B, k, 2, H, W)`; remoteness `(B, 1, H, W)` is about (d / s)^2, d the distance of a cell from
        the nearest landmark.
        """
        return unrounded(self._displacement, points, reference_points)

    def _displacement(self, points: Tensor, reference_points: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.grid.shape[:2]
        cells = rearrange(self.grid, "h w xy -> (h w) 1 xy")
        near = closeness(cells, points, _REACH)
        moves = rearrange(reference_points - points[:, None], "b k p xy -> b (k xy) p")
        nearest = near.amax(1)
        (moved,) = softmax_means(near, moves, [slice(None)], nearest)
        return (
            rearrange(moved, "b (k xy) (h w) -> b k xy h w", xy=2, h=height, w=width),
            rearrange(-nearest, "b (h w) -> b 1 h w", h=height),
        )


class StillFlow(nn.Module):
    """Displacement of each cell as part of a static background, while the crop follows the head."""

    grid: Tensor

    def __init__(self, grid: Tensor) -> None:
        super().__init__()
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, still: Tensor, reference_still: Tensor) -> Tensor:
        """Two background points of the target `(B, 2, 2)` and of references `(B, k, 2, 2)` to `(B, k, 2, H, W)`.

        The similarity from one pair to the other is a complex factor and a shift.
        """
        origin, along = still[:, None, 0], (still[:, 1] - still[:, 0])[:, None]
        reference_origin = reference_still[:, :, 0]
        reference_along = reference_still[:, :, 1] - reference_origin
        size = along.square().sum(-1).clamp_min(1e-12)
        real = (along * reference_along).sum(-1) / size
        imaginary = (along[..., 0] * reference_along[..., 1] - along[..., 1] * reference_along[..., 0]) / size
        offset = rearrange(self.grid, "h w xy -> xy h w") - origin[..., None, None]
        x, y = offset[:, :, 0], offset[:, :, 1]
        real, imaginary = real[..., None, None], imaginary[..., None, None]
        turned = torch.stack([real * x - imaginary * y, imaginary * x + real * y], 2)
        return turned - offset + (reference_origin - origin)[..., None, None]


def closeness(cells: Tensor, points: Tensor, reach: float) -> Tensor:
    """-|g - L|^2 / s^2 `(b, p, n)` of cells g `(n, 1, 2)`, points L `(b, p, 2)` and the reach s.

    Computes the differences first: in |g|^2 - 2 g L + |L|^2 the squares cancel, and a matrix product may round to TF32.
    """
    if is_exporting():
        return closeness_exported(cells, points, reach)
    return -(points[:, :, None] - cells[:, 0]).square().sum(-1) / reach**2


def closeness_exported(cells: Tensor, points: Tensor, reach: float) -> Tensor:
    """The same for ONNX Runtime, which is slow at broadcasting but fast and exact at matrix products."""
    cells, points = (cells[:, 0] - 0.5).T, points - 0.5
    of_cells = torch.cat([cells, cells.square().sum(0, keepdim=True), torch.ones_like(cells[:1])])
    squares = points.square().sum(2, keepdim=True)
    return torch.cat([2 * points, -torch.ones_like(squares), -squares], 2) / reach**2 @ of_cells


def softmax(x: Tensor) -> Tensor:
    """The softmax of `(b, k, ...)` over the second axis."""
    if not is_exporting():
        return x.softmax(1)
    # ONNX Runtime's own takes three times as long: row by row, for few of them.
    weight = (x - x.amax(1, keepdim=True)).exp()
    return weight / (x.shape[1] * mean_over(weight)[:, None])


def softmax_means(close: Tensor, moves: Tensor, parts: Sequence[slice], about: Tensor) -> list[Tensor]:
    """sum_i softmax_i(c_i) m_i `(b, c, n)` over the points i of each of the `parts`, of closenesses `(b, p, n)` and
    moves `(b, c, p)`.

    `about`: `(b, n)`, about the largest closeness. Where no point of a part is nearly as close, an exported network
    takes all of them alike.
    """
    if not is_exporting():
        return [moves[..., part] @ close[:, part].softmax(1) for part in parts]
    # ONNX Runtime's own takes three times as long: row by row, for few points.
    weight, points = (close - about[:, None]).clamp(-_EXTREME, _EXTREME).exp(), close.shape[1]
    weighted = torch.cat([moves, torch.ones_like(moves[:, :1])], 1)
    limits = [part.indices(points)[:2] for part in parts]
    of_parts = [F.pad(weighted[..., begin:end], (begin, points - end)) for begin, end in limits]
    sums = torch.split(torch.cat(of_parts, 1) @ weight, [weighted.shape[1]] * len(of_parts), 1)
    return [sum_[:, :-1] / sum_[:, -1:] for sum_ in sums]


def mean_over(x: Tensor) -> Tensor:
    """The mean of `(b, k, ...)` over the second axis."""
    if not is_exporting():
        return x.mean(1)
    # As a product: ONNX Runtime is slow at reducing an axis that is not the last.
    count = x.shape[1]
    return (x.new_full((1, count), 1 / count) @ x.flatten(2)).view(-1, *x.shape[2:])


def unrounded(run: Callable[[Tensor, Tensor], T], points: Tensor, reference_points: Tensor) -> T:
    """`run` in single precision even under autocast, because half precision resolves a crop to a pixel at best."""
    if torch.is_autocast_enabled(points.device.type):
        with torch.autocast(points.device.type, enabled=False):
            return run(points, reference_points)
    return run(points, reference_points)


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Maps `(n, c, h, w)` at `factor` times the resolution, bilinear."""
    return interpolate(x, [factor * cells for cells in x.shape[2:]])


def interpolate(x: Tensor, size: Sequence[int]) -> Tensor:
    """Maps `(n, c, h, w)` at the larger `size` (H, W), bilinear."""
    if is_exporting():
        rows, columns = (_interpolation_matrix(cells, wanted) for cells, wanted in zip(x.shape[2:], size, strict=True))
        return rows @ x @ columns.T
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=False)


def _interpolation_matrix(cells: int, wanted: int) -> Tensor:
    """The matrix `(wanted, cells)` of `interpolate` along one axis.

    ONNX Runtime takes two to seven times as long for its own interpolation; in training, half precision would round
    the products.
    """
    places = ((torch.arange(wanted) + 0.5) * cells / wanted - 0.5).clamp(0, cells - 1)
    return (1 - (places[:, None] - torch.arange(cells)).abs()).clamp_min(0)


def cell_means(x: Tensor, side: int) -> Tensor:
    """Means `(n, c, h, w)` of cells of `side` x `side` pixels."""
    if not is_exporting():
        return F.avg_pool2d(x, side)
    # As products, for the same reason as `mean_over`.
    rows, columns = (torch.eye(length // side).repeat_interleave(side, 0) / side for length in x.shape[2:])
    return rows.T @ x @ columns


def is_exporting() -> bool:
    """Whether the network is being written as ONNX."""
    return torch.onnx.is_in_onnx_export()
