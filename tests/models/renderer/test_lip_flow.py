"""The flow that separates upper and lower lip: which pixels follow which lip, and where it fades."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lipsmith.face.landmarks import INNER_LIP, JAW, NUM_POINTS, OUTER_LIP, mouth_box, ranks
from lipsmith.models.renderer.flow import enlarge, positions, region_grid, warp
from lipsmith.models.renderer.lip_flow import LOWER, UPPER, LipFlow, LipFlows, NoLipFlow

SIZE, TOP = 128, 48
UPPERS, LOWERS = ranks(UPPER), ranks(LOWER + JAW)
CENTER = 0.7
"""Height of the mouth's middle line in `mouth`."""
LEAST = 1e-7
"""Crop units; less is nothing."""


def mouth(opening: float, turn: float = 0.0) -> Tensor:
    """Points `(1, 131, 2)`: lips at (0.5, 0.7), open by `opening`, rotated by `turn` radians; others far above."""
    points = np.full((NUM_POINTS, 2), (0.5, 0.2))
    for numbers, half_width, thickness in ((OUTER_LIP, 0.12, 0.03), (INNER_LIP, 0.1, 0.0)):
        around = np.linspace(np.pi, 3 * np.pi, 20, endpoint=False)
        x, y = half_width * np.cos(around), np.sin(around) * (opening / 2 + thickness)
        points[ranks(numbers)] = np.stack([x, y], 1)
    lips = ranks(OUTER_LIP + INNER_LIP)
    cos, sin = np.cos(turn), np.sin(turn)
    points[lips] = points[lips] @ np.array([[cos, sin], [-sin, cos]]) + (0.5, CENTER)
    return torch.from_numpy(points).float()[None]


def added(flow: LipFlow, points: Tensor, references: Tensor, standing: float = 0.0) -> Tensor:
    """Return the flow that the lips add at full resolution, `(2, 80, 128)`, to a network with zero flow."""
    still = torch.zeros(len(references), 2, 20, 32)
    flows = flow(still, still, torch.full((len(references), 1, 20, 32), standing), points, references[None])
    return full(flows)[0]


def full(flows: LipFlows) -> Tensor:
    """Return the flow at full resolution, the mean of both sides where they meet."""
    return flows.joined(flows.lower, flows.upper)


def sample(picture: Tensor, flows: LipFlows) -> Tensor:
    """Return a picture sampled at the flows of either side."""
    grid = region_grid(SIZE, TOP, 1)
    sides = (grid, flows.lower), (grid[mouth_box(*grid.shape[:2])], flows.upper)
    return flows.joined(*(warp(picture, positions(of, flow)) for of, flow in sides))


def row(y: float) -> int:
    """Return the row whose center is just below height `y` of the crop."""
    return int(y * SIZE) - TOP


@pytest.mark.parametrize("opening", [0.04, 0.06])
def test_the_upper_lip_moves_only_what_is_above_the_line(opening: float) -> None:
    points = mouth(opening)
    raised = points.clone()
    raised[:, UPPERS] += torch.tensor([0.0, -0.05])
    moved = added(LipFlow(SIZE, TOP, 0.03), points, raised)
    middle = SIZE // 2
    assert float(moved[:, row(CENTER) + 1 :, middle - 10 : middle + 10].abs().max()) < LEAST
    touching = row(CENTER) - 1 - int(opening / 2 * SIZE)
    torch.testing.assert_close(moved[1, touching, middle], torch.tensor(-0.05), atol=4e-3, rtol=0)
    assert not moved[0].any()


@pytest.mark.parametrize("opening", [0.04, 0.06])
def test_the_lower_lip_and_the_jaw_move_only_what_is_below_the_line(opening: float) -> None:
    points = mouth(opening)
    lowered = points.clone()
    lowered[:, LOWERS] += torch.tensor([0.02, 0.04])
    moved = added(LipFlow(SIZE, TOP, 0.03), points, lowered)
    middle = SIZE // 2
    assert float(moved[:, : row(CENTER) - 1, middle - 10 : middle + 10].abs().max()) < LEAST
    touching = row(CENTER) + 1 + int(opening / 2 * SIZE)
    torch.testing.assert_close(moved[:, touching, middle], torch.tensor([0.02, 0.04]), atol=4e-3, rtol=0)


def test_the_added_flow_fades_with_distance_and_with_still_background() -> None:
    points, shift = mouth(0.04), torch.tensor([0.03, 0.0])
    flow = LipFlow(SIZE, TOP, 0.03)
    moved = added(flow, points, points + shift)
    at = row(CENTER) + 12
    distance = (at + TOP + 0.5) / SIZE - (CENTER + 0.04 / 2 + 0.03)
    expected = 0.03 * np.exp(-((distance / 0.04) ** 2))
    # Lip points are 2 px apart: the nearest one is beside the pixel rather than above it.
    assert float(moved[0, at, SIZE // 2]) == pytest.approx(expected, abs=1e-3)
    torch.testing.assert_close(added(flow, points, points + shift, standing=0.25), 0.75 * moved)


@settings(max_examples=20)
@given(st.floats(-0.5, 0.5), st.floats(0.04, 0.15))
def test_the_dividing_line_follows_a_rotated_mouth(turn: float, opening: float) -> None:
    points = mouth(opening, turn)
    raised = points.clone()
    raised[:, UPPERS] += torch.tensor([0.0, -0.05])
    moved = added(LipFlow(SIZE, TOP, 0.03), points, raised)
    ys, xs = (np.mgrid[0 : SIZE - TOP, 0:SIZE] + 0.5) / SIZE
    height = -(ys + TOP / SIZE - CENTER) * np.cos(turn) + (xs - 0.5) * np.sin(turn)
    # Up to the corners the step between the sides is a pixel wide.
    inside = np.hypot(ys + TOP / SIZE - CENTER, xs - 0.5) < 0.09
    assert (moved[:, torch.from_numpy(inside & (height < -1 / SIZE))].abs() < LEAST).all()
    assert (moved[1, torch.from_numpy(inside & (height > 1 / SIZE))] < 0).all()


@settings(max_examples=20)
@given(st.floats(0.04, 0.1), st.floats(0.0, 0.1))
def test_beyond_the_corners_the_sides_join_continuously(opening: float, other: float) -> None:
    moved = added(LipFlow(SIZE, TOP, 0.03), mouth(opening), mouth(other))
    beyond = moved[1, :, : round((0.5 - 0.12) * SIZE)]
    # The lips part by |other - opening|; beyond a corner, the step from one pixel to the next is at most a tenth of it.
    assert float(beyond.diff(dim=0).abs().max()) <= 0.1 * abs(other - opening) + 1e-6


@settings(max_examples=20)
@given(st.floats(0.0, 0.1), st.floats(-0.1, 0.1))
def test_a_common_shift_of_all_points_shifts_every_pixel(opening: float, shift: float) -> None:
    points = mouth(opening)
    moving = torch.full((1, 2, 20, 32), shift)
    standing = torch.zeros(1, 1, 20, 32)
    flows = LipFlow(SIZE, TOP, 0.03)(moving, moving, standing, points, (points + shift)[None])
    for moved in (full(flows), flows.half, flows.upper, flows.lower):
        torch.testing.assert_close(moved, torch.full_like(moved, shift), atol=1e-6, rtol=0)


def test_flow_at_half_resolution_is_the_mean_of_four_pixels() -> None:
    flow, points = LipFlow(SIZE, TOP, 0.03), mouth(0.05)
    still = torch.zeros(2, 2, 20, 32)
    references = torch.cat([mouth(0.0), mouth(0.1)])[None]
    flows = flow(still, still, still[:, :1], points, references)
    torch.testing.assert_close(flows.half, torch.nn.functional.avg_pool2d(full(flows), 2))
    assert full(flows).shape == (2, 2, SIZE - TOP, SIZE)


def test_without_lip_flow_the_networks_flow_is_only_enlarged() -> None:
    flow, points = torch.rand(1, 2, 20, 32), mouth(0.1)
    flows = NoLipFlow()(flow, torch.rand_like(flow), flow[:, :1], points, mouth(0.0)[None])
    assert torch.equal(full(flows), enlarge(flow, 4))
    assert torch.equal(flows.half, enlarge(flow, 2))


@pytest.mark.parametrize(("size", "top"), [(32, 12), (96, 36), (128, 48), (256, 96), (128, 60)])
def test_the_box_is_valid_for_any_crop(size: int, top: int) -> None:
    flow = torch.zeros(1, 2, (size - top) // 4, size // 4)
    flows = LipFlow(size, top, 0.03)(flow, flow, flow[:, :1], mouth(0.1), mouth(0.0)[None])
    assert full(flows).shape[-2:] == (size - top, size)
    assert flows.half.shape[-2:] == ((size - top) // 2, size // 2)
    assert full(flows).any()


@pytest.mark.parametrize("turn", [-0.3, 0.0, 0.3])
def test_closing_lips_show_no_teeth(turn: float) -> None:
    """Between the reference's red lips are white teeth, which also cover half a pixel of each lip's edge."""
    target, reference, flow = mouth(0.0, turn), mouth(6 / SIZE, turn), LipFlow(SIZE, TOP, 0.03)
    ys, xs = (np.mgrid[0:SIZE, 0:SIZE] + 0.5) / SIZE - np.array([CENTER, 0.5])[:, None, None]
    along, down = xs * np.cos(turn) + ys * np.sin(turn), ys * np.cos(turn) - xs * np.sin(turn)
    edge = 3 / SIZE * np.sqrt(np.clip(1 - (along / 0.1) ** 2, 0, 1))
    teeth = np.abs(down) < edge + 0.5 / SIZE
    picture = torch.from_numpy(np.stack([np.ones_like(teeth), teeth, teeth])).float()[None]
    still = torch.zeros(1, 2, 20, 32)
    flows = flow(still, still, still[:, :1], target, reference[None])
    shown = sample(picture, flows)
    middle = torch.from_numpy(np.abs(along) < 0.06)[TOP:]
    blended = warp(picture, positions(region_grid(SIZE, TOP, 1), full(flows)))
    assert float(shown[0, 1, middle].max()) < 0.5
    assert float(shown[0, 1, middle].sum()) < 0.15 * float(blended[0, 1, middle].sum())
    torch.testing.assert_close(shown[:, :1], torch.ones_like(shown[:, :1]))


def test_open_lips_are_sampled_where_they_are() -> None:
    points, picture, flow = mouth(0.08), torch.rand(1, 3, SIZE, SIZE), LipFlow(SIZE, TOP, 0.03)
    still = torch.zeros(1, 2, 20, 32)
    shown = sample(picture, flow(still, still, still[:, :1], points, points[None]))
    torch.testing.assert_close(shown, picture[..., TOP:, :], atol=1e-5, rtol=0)
