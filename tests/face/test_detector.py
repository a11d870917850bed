"""The detector's arithmetic by hand, and the tiles that it searches."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.errors import WeightsError
from lipsmith.face import Detection, detector
from lipsmith.face.crop import Square
from lipsmith.face.detector import FaceDetector, anchors, decode, distinct, levels, overlap, suppress, tiles


def test_anchors_equal_those_of_blazeface_short_range() -> None:
    centers = anchors()
    assert centers.shape == (896, 2)
    assert np.allclose(centers[[0, 1, 2, 32]], np.array([[4, 4], [4, 4], [12, 4], [4, 12]]) / 128)
    assert np.allclose(centers[[512, 517, 518, 895]], np.array([[8, 8], [8, 8], [24, 8], [120, 120]]) / 128)


def test_decode_by_hand() -> None:
    regressors = np.zeros((2, 16), np.float32)
    regressors[0] = [12.8, 0, 25.6, 51.2, *([-12.8, 12.8] * 6)]
    regressors[1, 2:4] = 10
    points, scores = decode(regressors, np.array([0, -3], np.float32), np.full((2, 2), 0.5, np.float32))
    assert scores.tolist() == [0.5]
    assert np.allclose(points[0], [[0.5, 0.3], [0.7, 0.7], *[[0.4, 0.6]] * 6])


def test_a_box_with_negative_size_is_no_face() -> None:
    regressors = np.full((1, 16), -5, np.float32)
    points, _ = decode(regressors, np.array([9], np.float32), np.array([[0.5, 0.5]], np.float32))
    assert len(points) == 0


def test_overlap_by_hand() -> None:
    box, boxes = np.array([0, 0, 4, 2]), np.array([[2, 0, 6, 2], [1, 0, 2, 1], [5, 5, 6, 6]])
    assert np.allclose(overlap(box, boxes), [4 / 12, 1 / 8, 0])
    assert np.allclose(overlap(box, boxes, of_smaller=True), [0.5, 1, 0])


def test_suppression_averages_one_face_and_keeps_another() -> None:
    def points(x: float) -> list[list[float]]:
        return [[x, 0], [x + 10, 10], *[[x + 5, 5]] * 6]

    merged, scores = suppress(
        np.array([points(4), points(0), points(50)], np.float32), np.array([0.2, 0.6, 0.5], np.float32)
    )
    assert scores.tolist() == pytest.approx([0.6, 0.5])
    assert np.allclose(merged[0], points(1))  # (0.6 * 0 + 0.2 * 4) / 0.8
    assert np.allclose(merged[1], points(50))


def test_suppression_accepts_no_detections() -> None:
    merged, scores = suppress(np.zeros((0, 8, 2), np.float32), np.zeros(0, np.float32))
    assert merged.shape == (0, 8, 2)
    assert scores.shape == (0,)


def test_a_partial_face_at_a_tile_border_is_merged_with_the_whole() -> None:
    keypoints = np.zeros((6, 2), np.float32)
    whole = Detection((0, 0, 10, 10), keypoints, 0.9)
    part, other = Detection((0, 0, 10, 4), keypoints, 0.6), Detection((30, 0, 40, 10), keypoints, 0.7)
    assert distinct([part, other, whole]) == [whole, other]


def test_crop_of_a_detection_levels_the_eyes() -> None:
    keypoints = np.zeros((6, 2), np.float32)
    keypoints[1] = 1
    crop = Detection((0, 10, 20, 50), keypoints, 1.0).crop
    assert (crop.x, crop.y, crop.side, crop.angle) == pytest.approx((10, 30, 60, np.pi / 4))


@given(st.integers(64, 4000), st.integers(64, 4000), st.floats(0.1, 1))
def test_tiles_contain_every_face_up_to_half_their_side(width: int, height: int, part: float) -> None:
    side = part * min(width, height)
    squares = tiles(width, height, side)
    for axis, length in (("x", width), ("y", height)):
        middles = sorted({getattr(square, axis) for square in squares})
        assert middles[0] - side / 2 <= 1e-6
        assert middles[-1] + side / 2 >= length - 1e-6
        assert np.all(np.diff(middles) <= side / 2 + 1e-6)


def test_levels_start_with_the_whole_picture_and_end_at_its_borders() -> None:
    searched = levels(1280, 720)
    assert [len(squares) for squares in searched[:1]] == [1]
    assert searched[0][0].side == 1280
    assert [squares[0].side for squares in searched[1:-1]] == [720, 360]
    assert [round(np.degrees(square.angle)) for square in searched[-1]] == [90, -90, 180]
    assert len(levels(200, 200)) == 2


def test_a_modified_bundle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    detector.read_bundle.cache_clear()
    monkeypatch.setattr(detector, "SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="not the published file"):
        detector.read_bundle()
    monkeypatch.setattr(detector, "BUNDLE", "absent.task")
    with pytest.raises(WeightsError, match="missing"):
        detector.read_bundle()


def test_networks_created_in_parallel_restore_stderr() -> None:
    before = os.fstat(2)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(detector.Network, [detector.DETECTOR] * 12))
    assert (os.fstat(2).st_dev, os.fstat(2).st_ino) == (before.st_dev, before.st_ino)


def test_networks_are_created_without_stderr() -> None:
    code = "from lipsmith.face import detector; detector.Network(detector.DETECTOR)"
    subprocess.run(["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code], check=True)


def test_the_finest_tiles_can_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = FaceDetector()

    def sides(height: int, width: int, small: bool = True) -> list[int]:
        found: set[int] = set()
        # The picture is reduced for large tiles; sides are in pixels of the whole one.
        monkeypatch.setattr(
            detector, "search", lambda image, square: found.add(round(square.side * width / image.shape[1])) or []
        )
        list(detector.coarse_to_fine(np.zeros((height, width, 3), np.uint8), small))
        return sorted(found)

    assert sides(480, 640, small=False) == [480, 640]
    assert sides(480, 640) == [240, 480, 640]
    assert sides(100, 100, small=False) == [100]


def test_only_wanted_squares_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, searched = FaceDetector(), list[float]()
    monkeypatch.setattr(detector, "search", lambda image, square: searched.append(square.x / image.shape[1]) or [])
    found = list(detector.coarse_to_fine(np.zeros((480, 640, 3), np.uint8), wanted=lambda square: square.x > 400))
    assert len(found) == len([level for level in levels(640, 480) if any(square.x > 400 for square in level)])
    assert searched
    assert min(searched) > 400 / 640


def test_faces_of_a_reduced_level_are_in_pixels_of_the_whole_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = FaceDetector()

    def all_of(image: NDArray[np.uint8], square: Square) -> list[Detection]:
        half = square.side / 2
        box = (square.x - half, square.y - half, square.x + half, square.y + half)
        return [Detection(box, np.tile(np.array([square.x, square.y], np.float32), (6, 1)), 0.9)]

    monkeypatch.setattr(detector, "search", all_of)
    found = next(detector.coarse_to_fine(np.zeros((720, 1280, 3), np.uint8)))
    assert [one.box for one in found] == [pytest.approx((0, -280, 1280, 1000))]
    assert found[0].keypoints == pytest.approx(np.tile([640, 360], (6, 1)))
