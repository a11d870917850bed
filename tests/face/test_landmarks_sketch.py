"""Sketches: complete, symmetric, and robust against points at any position."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lipsmith.face.landmarks import CLOSED_CHAINS, JAW, MIRROR, OPEN_CHAINS, OUTER_LIP, draw_sketches, ranks

SIZE = 64
POINTS = arrays(np.float64, (3, 131, 2), elements=st.floats(-0.5, 1.5))
NOWHERE = (-3.0, -3.0)


def joined() -> list[frozenset[int]]:
    """Return the ranks of the two points of each edge."""
    return [
        frozenset(pair)
        for chain in (*([*chain, chain[0]] for chain in CLOSED_CHAINS), *OPEN_CHAINS)
        for pair in pairwise(chain)
    ]


def only(places: dict[int, tuple[float, float]]) -> NDArray[np.float64]:
    """Return (1, 131, 2) with the given mesh points at their positions and all others far outside."""
    points = np.full((1, 131, 2), NOWHERE)
    points[0, ranks(tuple(places))] = list(places.values())
    return points


def test_131_vertices_are_joined_by_125_edges() -> None:
    assert len(joined()) == 125
    assert {rank for chain in (*CLOSED_CHAINS, *OPEN_CHAINS) for rank in chain} == set(range(131))


def test_no_edge_is_drawn_twice() -> None:
    assert len(joined()) == len(set(joined()))


def test_a_line_is_drawn_between_its_points() -> None:
    """Two points of the lip at y = 0.5 (between pixel rows 31 and 32), from x = 0.25 to 0.75."""
    lip = {point: (0.25 + 0.5 * index / 10, 0.5) for index, point in enumerate(OUTER_LIP[:11])}
    lip |= {point: (0.75 - 0.5 * index / 9, 0.5) for index, point in enumerate(OUTER_LIP[11:])}
    (image,) = draw_sketches(only(lip), SIZE)
    assert image[30:34, 18:46].max(0).min() > 100
    assert image[:28].max() == image[36:].max() == image[:, :13].max() == image[:, 51:].max() == 0


def test_a_line_to_a_point_far_outside_is_clipped() -> None:
    row = dict.fromkeys(JAW, (0.5, 0.5))
    row[JAW[8]] = (1e6, 0.5)
    (image,) = draw_sketches(only(row), SIZE)
    assert image[30:34, 34:].max(0).min() > 100


@given(arrays(np.float64, (1, 131, 2), elements=st.floats(-1e6, 1e6)))
def test_extreme_points_are_accepted(points: NDArray[np.float64]) -> None:
    sketch = draw_sketches(points, SIZE)
    assert sketch.shape == (1, SIZE, SIZE)
    assert sketch.dtype == np.uint8


@given(POINTS)
@settings(max_examples=25)
def test_a_batch_equals_its_sketches_drawn_one_by_one(points: NDArray[np.float64]) -> None:
    singly = np.concatenate([draw_sketches(each[None], SIZE) for each in points])
    assert np.array_equal(draw_sketches(points, SIZE), singly)


def test_an_empty_batch_gives_an_empty_batch() -> None:
    assert draw_sketches(np.zeros((0, 131, 2)), SIZE).shape == (0, SIZE, SIZE)


def test_a_mirrored_face_has_the_mirrored_edges() -> None:
    edges = joined()
    assert {frozenset(MIRROR[rank] for rank in edge) for edge in edges} == set(edges)


@given(st.floats(0, 2 * np.pi), st.floats(0.05, 0.4))
@settings(max_examples=25)
def test_a_mirrored_face_has_the_mirrored_sketch(phase: float, radius: float) -> None:
    """OpenCV rounds antialiased lines asymmetrically, so the sketches are compared after a blur of one pixel."""
    angle = np.linspace(0, 12 * np.pi, 131) + phase
    points = (0.5 + radius * np.stack([np.cos(angle), np.sin(1.3 * angle)], -1))[None]
    mirrored = points[:, MIRROR] * (-1, 1) + (1, 0)
    ours, theirs = draw_sketches(mirrored, SIZE)[0], draw_sketches(points, SIZE)[0, :, ::-1]
    difference = [cv2.GaussianBlur(each.astype(np.float32), (0, 0), 1.5) for each in (ours, theirs)]
    assert np.abs(difference[0] - difference[1]).max() < 40


def test_lines_are_antialiased() -> None:
    points = only({point: (0.2 + 0.037 * index, 0.3 + 0.011 * index) for index, point in enumerate(JAW)})
    levels = np.unique(draw_sketches(points, SIZE))
    assert len(levels) > 10
    assert levels.max() > 200


@pytest.mark.parametrize("size", [32, 128, 200])
def test_sketches_scale_with_the_crop(size: int) -> None:
    points = only({point: (0.25, 0.1 + 0.05 * index) for index, point in enumerate(JAW)})
    columns = draw_sketches(points, size)[0, size // 3 : size // 2].max(0).nonzero()[0]
    assert (columns.mean() + 0.5) / size == pytest.approx(0.25, abs=0.6 / size)
