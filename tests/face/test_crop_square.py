"""Squares of the picture: positions map there and back, and pixels match them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.face import FaceMesh, Square
from lipsmith.face.crop import around, direction
from lipsmith.face.detector import mesh_square

SQUARES = st.builds(Square, st.floats(-50, 500), st.floats(-50, 500), st.floats(1, 800), st.floats(-math.pi, math.pi))


def test_corners_by_hand() -> None:
    quarter = Square(10, 20, 4, math.pi / 2)
    corners = quarter.to_source(np.array([[0, 0], [1, 0], [0.5, 0.5]]))
    assert np.allclose(corners, [[12, 18], [12, 22], [10, 20]])


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, math.pi])
@pytest.mark.parametrize("side", [10.0, 23.5, 31.0])
def test_pixels_match_positions(side: float, angle: float) -> None:
    """On a ramp of four levels per pixel, an error of half a pixel would be two levels."""
    ramp = np.arange(60, dtype=np.float64) * 4 + 2
    image = np.broadcast_to(ramp[None, :, None], (60, 60, 3)).astype(np.uint8).copy()
    image[..., 1] = image[..., 0].T
    size = 16 if side < 31 else 10  # the last is shrunk first
    square = Square(30.3, 29.2, side, angle)
    grid = (np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) + 0.5) / size
    assert np.abs(square.pixels(image, size)[..., :2] - 4 * square.to_source(grid)).max() < 0.8


def test_fine_stripes_of_a_large_square_do_not_alias() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = Square(200.3, 199.8, 330, 0.02).pixels(stripes, 64).astype(float)
    assert pixels.mean() == pytest.approx(127.5, abs=3)
    assert pixels.std() < 127.5 / 5


def test_outside_the_picture_the_border_is_repeated() -> None:
    for length in (8, 40):  # the second is a multiple of what the large square is shrunk by
        image = np.full((length, length, 3), 200, np.uint8)
        assert (Square(100, 100, 8).pixels(image, 4) == 0).all()
        assert (Square(150, 150, 80).pixels(image, 4) == 0).all()


def test_around_measures_the_box_along_its_own_axes() -> None:
    upright = np.array([[0, 0], [10, 4]], np.float32)
    assert around(upright, 0.0, 1.5) == Square(5, 2, 15)
    turned = Square(0, 0, 1, 0.5).to_source(upright)
    assert around(turned, 0.5, 1.5).side == pytest.approx(15, abs=1e-4)


def test_direction_points_from_start_to_end() -> None:
    assert direction(np.array([1, 1]), np.array([1, 3])) == pytest.approx(math.pi / 2)


class SpotFinder:
    """Replaces the landmark network: every point is the center of the bright spot."""

    def __call__(self, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        light = image[..., 0].astype(np.float64)
        y, x = (np.arange(256) + 0.5,) * 2
        spot = [(light.sum(0) * x).sum() / light.sum(), (light.sum(1) * y).sum() / light.sum(), 7.0]
        return [np.tile(np.array(spot, np.float32), 478), np.array([0.0], np.float32)]


@pytest.mark.parametrize("crop", [Square(40, 40, 50, 0.3), Square(50, 38, 64, -2.0), Square(44, 42, 30)])
def test_the_mesh_is_returned_in_source_pixels(crop: Square) -> None:
    image = np.zeros((80, 90, 3), np.uint8)
    image[40:44, 42:45] = 255
    mesh = FaceMesh()
    mesh._network = SpotFinder()  # type: ignore[assignment]
    points, score = mesh(image, crop)
    assert np.allclose(points, [43.5, 42], atol=0.02)
    assert score == pytest.approx(0.5)


def test_next_crop_follows_the_eyes() -> None:
    mesh = np.zeros((478, 2), np.float32)
    mesh[:, 0] = np.linspace(-20, 20, 478)
    mesh[33], mesh[263] = (-10, 0), (10, 0)
    tilted = Square(0, 0, 1, 0.25).to_source(mesh + 0.5)
    crop = mesh_square(tilted)
    assert crop.angle == pytest.approx(0.25, abs=1e-5)
    assert crop.side == pytest.approx(1.5 * 40, abs=1e-3)
