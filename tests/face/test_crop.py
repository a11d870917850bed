"""The crop follows the head, ignores the mouth, and is invertible."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lipsmith.face import crop
from lipsmith.face.landmarks import MIRROR, NUM_CONTENT, NUM_POINTS, NUM_POSE, ranks

SCALES = st.floats(1e-3, 1e-1)
"""Crop units a pixel: faces from 10 to 1000 pixels wide."""
ANGLES = st.floats(-np.pi, np.pi)
PLACES = st.floats(-4000, 4000)


def face(scale: float = 0.005, angle: float = 0.0, x: float = 300.0, y: float = 200.0) -> NDArray[np.float64]:
    """Return (1, 131, 2) source pixels: the transform maps the anchors to the template, the rest near the middle."""
    points = np.tile([0.5, 0.6], (1, NUM_POINTS, 1)).astype(np.float64)
    points[:, ranks(crop.ANCHORS)] = crop.TEMPLATE
    return crop.apply(crop.invert(similarity(scale, angle, x, y)), points)


def similarity(scale: float, angle: float, x: float, y: float) -> NDArray[np.float64]:
    """Return the transform (1, 2, 3) that rotates by `angle`, scales, and maps source (x, y) to the crop's middle."""
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([linear, (0.5 - linear @ (x, y))[:, None]], 1)[None]


@given(SCALES, ANGLES, PLACES, PLACES, arrays(np.float64, (5, 2), elements=st.floats(-4000, 4000)))
def test_a_point_maps_to_the_crop_and_back(
    scale: float, angle: float, x: float, y: float, points: NDArray[np.float64]
) -> None:
    transforms = crop.fit_transforms(face(scale, angle, x, y)).astype(np.float32)  # as stored in a clip
    there = crop.apply(transforms, points[None])
    back = crop.apply(crop.invert(transforms), there)
    assert np.abs(back - points).max() < 0.05


@given(SCALES, ANGLES, PLACES, PLACES)
def test_a_rotated_and_scaled_face_is_aligned_to_the_template(scale: float, angle: float, x: float, y: float) -> None:
    points = face(scale, angle, x, y)
    landed = crop.apply(crop.fit_transforms(points), points)[:, ranks(crop.ANCHORS)]
    assert landed[0] == pytest.approx(crop.TEMPLATE, abs=1e-6)


@given(arrays(np.float64, (1, NUM_POINTS, 2), elements=st.integers(0, 500)))
def test_the_crop_of_a_mirrored_face_is_mirrored(points: NDArray[np.float64]) -> None:
    points = face() + 0.1 * points
    mirrored = (points * (-1, 1))[:, MIRROR]
    landed = crop.apply(crop.fit_transforms(mirrored), mirrored)
    assert landed[:, MIRROR] * (-1, 1) + (1, 0) == pytest.approx(crop.apply(crop.fit_transforms(points), points))


@given(arrays(np.float64, (1, NUM_CONTENT, 2), elements=st.floats(-500, 500)))
def test_content_points_do_not_move_the_crop(shift: NDArray[np.float64]) -> None:
    points = face()
    spoken = points.copy()
    spoken[:, NUM_POSE:] += shift
    assert np.array_equal(crop.fit_transforms(points), crop.fit_transforms(spoken))


def test_every_anchor_affects_the_crop() -> None:
    for anchor in ranks(crop.ANCHORS):
        points = face()
        points[:, anchor] += 5
        assert not np.allclose(crop.fit_transforms(points), crop.fit_transforms(face()), rtol=1e-4)


def test_the_template_is_its_own_mirror_image() -> None:
    partners = [3, 2, 1, 0, 4, 5, 6, 7, 8, 9, 13, 14, 15, 10, 11, 12]
    assert (1, 0) + crop.TEMPLATE[partners] * (-1, 1) == pytest.approx(crop.TEMPLATE, abs=1e-9)


@given(st.integers(1, 40), PLACES, st.floats(-20, 20), st.floats(-20, 20), st.sampled_from([23.976, 25.0, 50.0]))
def test_smoothing_keeps_steady_motion_to_the_ends(frames: int, start: float, dx: float, dy: float, fps: float) -> None:
    times = np.arange(frames) / fps
    moving = np.concatenate([similarity(0.005, 0.1, start + dx * i, 100 + dy * i) for i in range(frames)])
    assert crop.smooth_transforms(moving, times) == pytest.approx(moving, abs=1e-8)


def test_smoothing_keeps_steady_rotation_across_half_a_turn() -> None:
    turning = np.concatenate([similarity(0.005, 3.0 + 0.02 * i, 100, 100) for i in range(30)])
    assert crop.smooth_transforms(turning, np.arange(30) / 25) == pytest.approx(turning, abs=1e-9)


def test_smoothing_reduces_jitter() -> None:
    places = 100 + np.random.default_rng(0).normal(0, 1, 100)
    jittering = np.concatenate([similarity(0.005, 0, x, 100) for x in places])
    calm = crop.smooth_transforms(jittering, np.arange(100) / 25)
    assert np.diff(calm[:, 0, 2]).std() < 0.4 * np.diff(jittering[:, 0, 2]).std()


def test_a_shaken_head_stays_centered() -> None:
    """A shake of 0.07 crop units at 9 Hz would be smoothed away, and the head would leave the crop's middle."""
    places = 100 + 14 * np.sin(2.3 * np.arange(60))
    shaken = np.concatenate([similarity(0.005, 0.2, x, 100) for x in places])
    calm = crop.smooth_transforms(shaken, np.arange(60) / 25)
    middles = crop.apply(crop.invert(shaken), np.full((60, 1, 2), 0.5))
    assert np.linalg.norm(crop.apply(calm, middles) - 0.5, axis=-1).max() < 0.021


def test_smoothing_affects_only_neighboring_frames() -> None:
    """Three standard deviations are 0.18 s, so a jump has no effect a quarter of a second away."""
    times = np.arange(50) / 25
    jump = np.concatenate([similarity(0.005, 0, 100 if i < 25 else 200, 100) for i in range(50)])
    smooth = crop.smooth_transforms(jump, times)
    away = np.abs(times - 1) > 0.25
    assert smooth[away] == pytest.approx(jump[away], abs=1e-9)
    assert (np.diff(smooth[:, 0, 2]) <= 1e-12).all()


def test_smoothing_weighs_frames_by_a_gaussian() -> None:
    """Of a deviation of 1.5 frames, at 25 fps, after a jump that is too small to be limited."""
    jump = np.concatenate([similarity(0.005, 0, 100 if i < 25 else 102, 100) for i in range(50)])
    moved = (crop.smooth_transforms(jump, np.arange(50) / 25)[:, 0, 2] - jump[0, 0, 2]) / (jump[-1] - jump[0])[0, 2]
    bell = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    assert moved[20:30] == pytest.approx(np.cumsum([0, *bell]) / bell.sum(), abs=1e-6)


def test_pixels_and_crop_units_agree() -> None:
    """The middle of the first pixel is at 0.5 by convention, and at 0 in OpenCV."""
    transform = similarity(0.01, 0.3, 40, 30)
    point = np.array([[17.5, 21.5]])
    units = crop.apply(transform, point[None])[0, 0]
    pixels = crop.to_pixels(transform[0], 128)
    assert pixels[:, :2] @ (17, 21) + pixels[:, 2] == pytest.approx(units * 128 - 0.5)


def blob(size: int, x: float, y: float, radius: float) -> NDArray[np.uint8]:
    """Return (size, size, 3) with a bright round spot at (x, y); the first pixel's middle is at 0.5."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    level = 20 + 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return np.repeat(np.round(level)[..., None], 3, 2).astype(np.uint8)


def center(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (x, y) of the bright spot, as fractions of the picture's side."""
    weights = np.clip(image[..., 0].astype(np.float64) - 30, 0, None)
    rows, columns = np.mgrid[: len(image), : len(image)] + 0.5
    sums = np.array([(columns * weights).sum(), (rows * weights).sum()])
    return sums / float(weights.sum() * len(image))


@pytest.mark.parametrize("side", [50.0, 120.0, 200.0, 256.0, 333.3, 700.0])
def test_crop_pixels_match_transformed_positions(side: float) -> None:
    """The crops enlarge, reduce slightly, and reduce so much that areas are averaged first."""
    transform = similarity(1 / side, 0.2, 403.3, 391.7)[0]
    spot = np.array([403.3 + 0.11 * side, 391.7 - 0.07 * side])
    image = crop.crop_image(blob(800, spot[0], spot[1], 0.06 * side), transform, 64)
    expected = crop.apply(transform, spot[None])[0]
    assert center(image) * 64 == pytest.approx(expected * 64, abs=0.05)


@pytest.mark.parametrize("reduction", [2, 3, 5])
def test_a_large_reduction_averages_areas(reduction: int) -> None:
    drawn = np.random.default_rng(1).normal(0, 60 * reduction, (400, 400, 3))
    noise = np.clip(128 + cv2.GaussianBlur(drawn, (0, 0), reduction), 0, 255).astype(np.uint8)
    side, origin = 64 * reduction, 10 * reduction
    transform = np.array([[1 / side, 0, -origin / side], [0, 1 / side, -origin / side]])
    image = crop.crop_image(noise, transform, 64).astype(int)
    part = noise[origin : origin + side, origin : origin + side].astype(float)
    means = part.reshape(64, reduction, 64, reduction, 3).mean((1, 3))
    assert means.std() > 15
    assert np.abs(image - means).mean() < 1.5


@pytest.mark.parametrize("side", [320, 350, 400, 450, 510])
def test_fine_stripes_do_not_alias(side: int) -> None:
    """A mean over an odd number n of pixels keeps 1/n of stripes of one pixel; a plain warp keeps nearly all."""
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    image = crop.crop_image(stripes, similarity(1 / side, 0, 300, 300)[0], 64).astype(float)
    assert image.std() <= 127.5 / (side // 64)
    assert image.mean() == pytest.approx(127.5, abs=3)


def test_outside_the_picture_the_border_is_repeated() -> None:
    image = np.full((100, 100, 3), 70, np.uint8)
    for side in (60.0, 400.0):
        assert (crop.crop_image(image, similarity(1 / side, 0, 5, 5)[0], 64) == 70).all()


@pytest.mark.parametrize("side", [60.0, 100.0, 300.0])
@pytest.mark.parametrize("end", [180, 211, 260, 400])
def test_from_the_row_where_an_image_ends_its_last_one_is_repeated(side: float, end: int) -> None:
    rows = np.arange(400.0)[:, None, None]
    image = np.broadcast_to(60 + rows / 4 + np.arange(400.0)[:, None] / 5, (400, 400, 3)).astype(np.uint8)
    image[end:] = 255
    transform = similarity(1 / side, 0.2, 200, 200)[0]
    found = crop.crop_image(image, transform, 64, end)
    assert np.abs(found.astype(int) - crop.crop_image(image[:end], transform, 64)).max() <= 2


@given(st.floats(-3000, 3000), st.floats(-3000, 3000), st.floats(20, 3000))
def test_a_crop_at_any_position_has_its_size(x: float, y: float, side: float) -> None:
    image = np.asarray(cv2.resize(np.zeros((4, 4, 3), np.uint8), (90, 50)), np.uint8)
    assert crop.crop_image(image, similarity(1 / side, 1.0, x, y)[0], 32).shape == (32, 32, 3)
