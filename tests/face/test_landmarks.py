"""The 131 points: their order, their mirror image, and the opening of the lips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lipsmith.face import landmarks
from lipsmith.face.crop import apply, fit_transforms

POINTS = arrays(np.float64, (2, 131, 2), elements=st.floats(-2, 3))


def test_there_are_74_pose_and_57_content_points() -> None:
    assert (landmarks.NUM_POSE, landmarks.NUM_CONTENT, landmarks.NUM_POINTS) == (74, 57, 131)
    assert len(set(landmarks.POINTS)) == 131
    assert all(0 <= point < landmarks.NUM_MESH for point in landmarks.POINTS)


def test_select_keeps_the_order_and_drops_depth() -> None:
    mesh = np.stack([np.arange(478), 1000 + np.arange(478), np.full(478, -7)], -1).astype(np.float32)
    points = landmarks.select(mesh[None])
    assert points.shape == (1, 131, 2)
    assert points[0, 0].tolist() == [162, 1162]
    assert points[0, 74].tolist() == [132, 1132]
    assert points[0, -1].tolist() == [95, 1095]


@given(POINTS)
def test_pose_and_content_make_the_whole(points: NDArray[np.float64]) -> None:
    pose, content = landmarks.split(points)
    assert pose.shape == (2, 74, 2)
    assert np.array_equal(np.concatenate([pose, content], 1), points)


def test_openings_are_distances_of_the_middles_of_the_lips() -> None:
    points = np.zeros((1, 131, 2))
    points[0, landmarks.ranks((13, 14, 0, 17))] = [(0.5, 0.60), (0.53, 0.64), (0.5, 0.5), (0.5, 0.7)]
    assert landmarks.lip_opening(points) == pytest.approx([0.05])
    assert landmarks.outer_lip_opening(points) == pytest.approx([0.2])


def test_mirroring_twice_is_the_identity() -> None:
    assert [landmarks.MIRROR[rank] for rank in landmarks.MIRROR] == list(range(131))


def test_mirroring_swaps_sides_and_leaves_the_middle() -> None:
    partners = dict(zip(landmarks.POINTS, [landmarks.POINTS[rank] for rank in landmarks.MIRROR], strict=True))
    middle = {point for point, other in partners.items() if point == other}
    assert middle == {168, 6, 197, 195, 5, 4, 152, 0, 17, 13, 14}
    assert [partners[point] for point in (33, 133, 61, 78, 132, 70, 162)] == [263, 362, 291, 308, 361, 300, 389]


def test_partners_lie_opposite_each_other_on_a_face(portrait: tuple[NDArray[np.uint8], NDArray[np.float32]]) -> None:
    points = landmarks.select(portrait[1])
    placed = apply(fit_transforms(points), points)
    assert (placed * (-1, 1) + (1, 0))[:, landmarks.MIRROR] == pytest.approx(placed, abs=0.03)


def test_the_box_of_the_mouth_lies_in_the_rows_that_are_drawn() -> None:
    assert landmarks.mouth_box(80, 128) == (slice(12, 72), slice(32, 96))
    assert landmarks.mouth_box(132, 256) == (slice(0, 116), slice(64, 192))


def test_the_inside_of_a_mouth_begins_within_the_lips() -> None:
    size, inner = 128, landmarks.ranks(landmarks.INNER_LIP)
    points, angles = np.full((131, 2), 0.5), np.linspace(0, 2 * np.pi, len(inner), endpoint=False)
    points[inner] = (0.5, 0.7)
    assert not landmarks.inside_mouth(points, size).any()  # closed
    points[inner] = np.stack([0.5 + 0.1 * np.cos(angles), 0.7 + 0.08 * np.sin(angles)], 1)
    found = landmarks.inside_mouth(points, size)
    row = found[round(0.7 * size), size // 2 :]
    assert row[0] == pytest.approx(1, abs=0.02)
    assert row[round(0.1 * size) :].max() == 0
    assert (np.diff(row) <= 0).all()
    assert 0.6 < row[round(0.1 * size) - 4] < 0.9
    assert not found[: size // 2].any()
