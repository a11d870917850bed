"""Reduced parts of pictures, and transforms that map to the same positions in them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import example, given
from hypothesis import strategies as st

from lipsmith.face.crop import Square, apply, crop_image, shrink, to_pixels
from lipsmith.media.color import FilmedPicture


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_pixels_are_means_on_a_grid_fixed_to_the_picture() -> None:
    image = picture()
    part = shrink(image, np.array([[10.5, 7.0], [16.0, 11.9]]), 4)
    assert part.origin.tolist() == [8, 4]
    assert part.step.tolist() == [4, 4]
    assert part.image.shape == (2, 2, 3)
    means = image[4:12, 8:16].reshape(2, 4, 2, 4, 3).mean((1, 3))
    assert np.abs(part.image - means).max() <= 0.5


def test_the_margin_is_in_pixels_of_the_picture() -> None:
    part = shrink(picture(), np.array([[20.0, 20.0], [24.0, 24.0]]), 2, margin=3)
    assert part.origin.tolist() == [16, 16]
    assert part.image.shape[:2] == (6, 6)  # 16 to 28


def test_a_part_is_a_copy_without_the_whole_picture() -> None:
    image = picture()
    part = shrink(image, np.array([[3.2, 4.0], [9.0, 9.5]]), 1)
    assert (part.image == image[4:10, 3:9]).all()
    assert not np.shares_memory(part.image, image)


def test_a_transform_maps_to_the_same_position_in_a_part() -> None:
    """Pixel (x, y) of the part covers the pixels from (8, 4) + 4 (x, y) of the picture."""
    part = shrink(picture(), np.array([[9.0, 5.0], [31.0, 20.0]]), 4)
    transform = np.array([[0.03, -0.01, 0.2], [0.01, 0.03, -0.4]])
    own = np.array([[1.5, 2.25]])
    assert apply(part.own(transform), own) == pytest.approx(apply(transform, np.array([[8 + 6.0, 4 + 9.0]])))


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 12),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
)
def test_a_part_is_never_empty(height: int, width: int, factor: int, x: float, y: float, margin: float) -> None:
    image = np.full((height, width, 3), 70, np.uint8)
    part = shrink(image, np.array([[x, y], [x + 1, y + 1]]), factor, margin)
    assert part.image.size
    assert (part.image == 70).all()
    assert (part.origin >= 0).all()
    assert (part.origin + part.step * part.image.shape[1::-1] <= (width, height)).all()


def filmed(seed: int, full: bool, patched: bool) -> FilmedPicture:
    """A frame without fine detail, whose codes stay away from the ends of their range."""
    random, (height, width), mild = np.random.default_rng(seed), (240, 320), (108, 149)
    coarse = [random.integers(*ends, (9, 9)).astype(np.uint8) for ends in ((60, 190), mild, mild)]
    planes = [cv2.resize(one, (width, height)) for one in coarse]
    chroma = [plane[::2, ::2].reshape(-1, width) for plane in planes[1:]]
    frame = VideoFrame.from_ndarray(np.concatenate([planes[0], *chroma]), format="yuv420p")
    frame.color_range = 2 if full else 1
    picture = FilmedPicture(frame)
    patch, shown = np.full((99, 111, 3), 60, np.uint8), picture[70:169, 100:211]
    return picture.with_patch(100, 70, patch, shown) if patched else picture


@example(2, 0.0, 0.0, 118.0, True, False)
@example(2, 0.0, 0.0, 118.0, False, False)
@example(1, 100.0, 70.0, 100.0, False, True)
@given(
    st.integers(1, 6),
    st.floats(-20, 400),
    st.floats(-20, 300),
    st.floats(1, 300),
    st.booleans(),
    st.booleans(),
)
def test_means_of_a_filmed_picture_are_those_of_its_rgb(
    half: int, x: float, y: float, side: float, full: bool, patched: bool
) -> None:
    picture = filmed(half, full, patched)
    corners = np.array([[x, y], [x + side, y + side]])
    part, whole = shrink(picture, corners, 2 * half, 3.0), shrink(np.asarray(picture), corners, 2 * half, 3.0)
    assert part.image.shape == whole.image.shape
    assert part.origin.tolist() == whole.origin.tolist()
    assert part.step == pytest.approx(whole.step)
    assert np.abs(part.image.astype(int) - whole.image).max() <= 4


@example(0.0, 0.0, 118.0, 0.0, True, False, cv2.BORDER_CONSTANT)
@example(150.0, 120.0, 90.0, 0.5, False, True, cv2.BORDER_REPLICATE)
@example(-300.0, 500.0, 90.0, 0.5, False, False, cv2.BORDER_CONSTANT)
@example(317.0, 0.0, 4.0, 1.0, False, False, cv2.BORDER_CONSTANT)
@given(
    st.floats(-100, 400),
    st.floats(-100, 300),
    st.floats(4, 500),
    st.floats(-4, 4),
    st.booleans(),
    st.booleans(),
    st.sampled_from([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE]),
)
def test_crops_and_squares_of_a_filmed_picture_are_those_of_its_rgb(
    x: float, y: float, side: float, angle: float, full: bool, patched: bool, border: int
) -> None:
    picture, square = filmed(1, full, patched), Square(x, y, side, angle)
    at_edge = 24 if border == cv2.BORDER_CONSTANT else 5  # color reaches half a cell farther into the black
    factor = np.array([np.cos(angle), np.sin(angle)]) / side
    turn = np.array([[factor[0], factor[1]], [-factor[1], factor[0]]])
    transform = np.column_stack([turn, 0.5 - turn @ (x, y)])
    for found, expected, most in (
        (square.pixels(picture, 64, border), square.pixels(np.asarray(picture), 64, border), at_edge),
        (crop_image(picture, transform, 64), crop_image(np.asarray(picture), transform, 64), 5),
    ):
        assert found.shape == expected.shape == (64, 64, 3)
        assert np.abs(found.astype(int) - expected).max() <= most


@pytest.mark.parametrize("factor", [1, 3, 5])
def test_an_odd_factor_of_a_filmed_picture_moves_no_color(factor: int) -> None:
    """Three pixels have one and a half of chroma."""
    codes = np.random.default_rng(0).integers(100, 157, (90, 80)).astype(np.uint8)
    picture, corners = FilmedPicture(VideoFrame.from_ndarray(codes, format="yuv420p")), np.array([[7.0, 9], [50, 40]])
    assert np.array_equal(shrink(picture, corners, factor).image, shrink(picture[:, :], corners, factor).image)


@example(3.0, 4.0, 7.0)
@example(10.4, 10.4, 9.0)
@given(st.floats(0, 48), st.floats(0, 40), st.floats(6, 31))
def test_a_crop_is_that_of_the_whole_picture(x: float, y: float, side: float) -> None:
    """Also where pixels beside it have fine detail."""
    image, transform = picture(), np.array([[1 / side, 0, -x / side], [0, 1 / side, -y / side]])
    matrix, size = to_pixels(transform, 16), (16, 16)
    whole = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(crop_image(image, transform, 16).astype(int) - whole).max() <= 20


@pytest.mark.parametrize(("side", "factor"), [(31.0, 1), (32.0, 2), (46.0, 2), (48.0, 3)])
def test_a_smaller_crop_shows_means_up_to_its_edges(side: float, factor: int) -> None:
    image, x, y = picture(96, 96), 20.0, 13.0
    transform = np.array([[1 / side, 0, -x / side], [0, 1 / side, -y / side]])
    means = shrink(image, np.array([[0.0, 0.0], [96.0, 96.0]]), factor)
    assert means.image.shape == (96 // factor, 96 // factor, 3)
    matrix = to_pixels(means.own(transform), 16)
    whole = cv2.warpAffine(means.image, matrix, (16, 16), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(crop_image(image, transform, 16).astype(int) - whole).max() <= 8


@pytest.mark.parametrize("side", [9.0, 16.0])
@pytest.mark.parametrize("x", np.arange(4, 8, 0.5).tolist())
@pytest.mark.parametrize("y", [4.0, 5.0, 6.5])
def test_colors_of_a_filmed_picture_stay_in_place(x: float, y: float, side: float) -> None:
    """They change by 4 codes a pixel; a pixel of luma has its color left of its middle, between two rows."""
    rows, columns = np.mgrid[:16, :16]
    chroma = np.stack([68 + 8 * columns, 68 + 8 * rows]).astype(np.uint8).reshape(-1, 32)
    planes = np.concatenate([np.full((32, 32), 126, np.uint8), chroma])
    picture = FilmedPicture(VideoFrame.from_ndarray(planes, format="yuv420p"))
    transform = np.array([[1 / side, 0, -x / side], [0, 1 / side, -y / side]])
    found, expected = crop_image(picture, transform, 32), crop_image(picture[:, :], transform, 32)
    assert np.abs(found.astype(int) - expected).max() <= 2
