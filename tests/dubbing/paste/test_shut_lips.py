"""The line between shut lips is as dark as in the references, and nothing else changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.dubbing.paste.shut_lips import LipLine, line_depth, lip_line, lips_apart, with_line
from lipsmith.face.landmarks import INNER_LIP, NUM_POINTS, Floats, ranks

LEFT, RIGHT, HEIGHT = 0.35, 0.65, 0.72
"""Of the mouth, crop units."""
LIPS = 150


def mouth(apart: float = 0.0) -> Floats:
    """Points `(131, 2)` of inner lips that are `apart` by so many pixels of 128."""
    points = np.zeros((NUM_POINTS, 2), np.float32)
    x = np.linspace(LEFT, RIGHT, 11)
    open_by = apart / 128 * np.minimum(1, np.minimum(np.arange(11), np.arange(11)[::-1])) / 2
    points[ranks(INNER_LIP[:11])] = np.stack([x, HEIGHT - open_by], 1)
    points[ranks(INNER_LIP[10:])] = np.stack([x, HEIGHT + open_by], 1)[:0:-1]
    return points


def lips(depth: float, side: int = 256, off: float = 0.0) -> NDArray[np.float32]:
    """A crop of that side, of lips with a line that is darker by `depth`, `off` pixels below the middle."""
    rows = (np.arange(side) + 0.5 - HEIGHT * side - off) / (side / 128)
    column = LIPS - depth * np.exp(-((rows / 0.8) ** 2))
    return np.repeat(np.repeat(column[:, None, None], side, 1), 3, 2).astype(np.float32)


def drawn(image: NDArray[np.float32], depth: float, points: Floats, contrast: float = 1.0) -> NDArray[np.float32]:
    """The image of a whole crop with the line."""
    side = len(image)
    to_crop = np.array([[128 / side, 0, 64 / side - 0.5], [0, 128 / side, 64 / side - 0.5]])
    return with_line(image, LipLine(points, depth), contrast, to_crop, 128)


def found(image: NDArray[np.float32], near: int = 6) -> float:
    """How deep the line is in the middle of the mouth."""
    row, middle = round(HEIGHT * len(image)), len(image) // 2
    return float(LIPS - image[row - near : row + near, middle, 1].min())


@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize("filmed", [5.0, 20.0])
def test_a_faint_line_becomes_as_dark_as_it_should_be(side: int, filmed: float) -> None:
    assert found(drawn(lips(filmed, side), 40, mouth()), side // 20) == pytest.approx(40, abs=6)


def test_a_line_that_is_dark_enough_stays_as_it_is() -> None:
    image = lips(45)
    assert (drawn(image, 40, mouth()) == image).all()


def test_nothing_but_the_line_changes() -> None:
    image = lips(10)
    change = np.abs(drawn(image, 40, mouth()) - image).max(2)
    rows, columns = np.nonzero(change > 0.5)
    assert abs(rows + 0.5 - HEIGHT * 256).max() < 4
    assert LEFT * 256 < columns.min() < columns.max() < RIGHT * 256


def test_the_line_is_where_the_picture_has_it() -> None:
    """A second line beside it would be seen, and points are off by a pixel."""
    image = lips(15, off=3)
    darkened = drawn(image, 40, mouth())
    assert abs(int(darkened[:, 128, 1].argmin()) - int(image[:, 128, 1].argmin())) <= 1


def test_lips_that_part_lose_the_line_gradually() -> None:
    depths = [found(drawn(lips(10), 40, mouth(apart))) for apart in (0.5, 1.25, 1.75, 2.5)]
    assert depths[0] > depths[1] > depths[2] > depths[3] - 0.1
    assert depths[3] == pytest.approx(found(lips(10)))


def test_in_a_fade_the_line_fades() -> None:
    assert found(drawn(lips(5), 40, mouth(), contrast=0.5)) == pytest.approx(20, abs=5)


@pytest.mark.parametrize("rows", [slice(0, 90), slice(0, 184), slice(184, 256)])
def test_a_part_of_the_face_without_some_of_the_lips_can_be_drawn(rows: slice) -> None:
    """At the edge of a film."""
    image = lips(10)[rows]
    to_crop = np.array([[0.5, 0, -0.25], [0, 0.5, rows.start / 2 - 0.25]])
    result = with_line(image, LipLine(mouth(), 40), 1.0, to_crop, 128)
    whole = drawn(lips(10), 40, mouth())[rows]
    assert result.shape == image.shape
    assert np.abs(result - whole)[4:-4].max() < 15


def native(depth: float, side: int = 256) -> NDArray[np.uint8]:
    """The last rows of a native crop, of four channels."""
    return np.asarray(cv2.cvtColor(lips(depth, side)[side // 2 :].astype(np.uint8), cv2.COLOR_RGB2RGBA), np.uint8)


def test_the_depth_is_that_of_references_with_shut_lips() -> None:
    crops = [native(90), native(30), native(32), native(31)]
    pool = np.stack([mouth(3), mouth(0.2), mouth(0), mouth(0.5)])
    asked: list[int] = []

    def crop(rank: int) -> NDArray[np.uint8]:
        asked.append(rank)
        return crops[rank]

    depth = line_depth(crop, pool)
    assert depth is not None
    assert 25 < depth < 33
    assert asked == [1, 2, 3]


def test_few_references_are_looked_at() -> None:
    """Each is decoded for that."""
    asked: list[int] = []
    line_depth(lambda rank: asked.append(rank) or native(30), np.stack([mouth()] * 60))
    assert 6 <= len(asked) <= 8
    assert asked[-1] > 50


def test_without_shut_lips_there_is_no_line() -> None:
    assert line_depth(lambda rank: native(30), np.stack([mouth(3), mouth(2)])) is None
    assert lip_line(mouth(), None) is None
    assert lip_line(mouth(2.1), 30) is None
    assert (with_line(lips(10), None, 1.0, np.eye(2, 3), 256) == lips(10)).all()
    line = lip_line(mouth(0.5), 30)
    assert line is not None
    assert line.depth == 30


def test_the_distance_of_lips_is_that_of_most_of_their_points() -> None:
    points = mouth(2)
    points[ranks((13,))] -= 0.1
    assert lips_apart(points) == pytest.approx(2 / 128, rel=1e-4)
