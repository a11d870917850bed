"""Captions over a face, written with known pixels; what is bright but no caption."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from caption_samples import GREEN, WHITE, YELLOW, written
from lipsmith.face import FaceTracker
from lipsmith.face.captions import caption, inpainted, outside_caption, picture_end, without_bar
from lipsmith.face.crop import apply, crop_image, fit_transforms
from lipsmith.face.landmarks import ranks, select
from lipsmith.face.references import Candidates, without_captions
from lipsmith.media import Frame
from synthetic import STILL, face_at

Picture = NDArray[np.uint8]


@cache
def face(side: int) -> tuple[Picture, NDArray[np.float32]]:
    """A picture of a face, and its points `(131, 2)`, pixels."""
    picture = face_at(0, (side, side), STILL)
    (found,) = FaceTracker().track(picture).faces
    return picture, select(found.mesh).astype(np.float32)


@pytest.mark.parametrize("color", [WHITE, YELLOW, GREEN])
@pytest.mark.parametrize(("side", "height"), [(640, 0.1), (640, 0.16), (320, 0.16), (200, 0.2)])
@pytest.mark.parametrize("text", ["WHAT IS", "yes, you"])
def test_letters_over_the_chin_are_found(side: int, height: float, text: str, color: tuple[int, ...]) -> None:
    picture, points = face(side)
    image, letters = written(picture, points, text, color, height)
    covered = caption(image, points)
    assert covered is not None
    assert covered[letters].mean() > 0.97
    assert covered[image[..., 0] != picture[..., 0]].mean() > 0.65  # with their outlines
    assert covered.mean() < 3 * letters.mean() + 0.02


def test_letters_above_compression_are_found() -> None:
    picture, points = face(640)
    image, letters = written(picture, points, "WHAT IS", WHITE, 0.1)
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    covered = caption(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8), points)
    assert covered is not None
    assert covered[letters].mean() > 0.95


@pytest.mark.parametrize("side", [200, 640])
def test_a_face_without_letters_has_none(side: int) -> None:
    picture, points = face(side)
    assert caption(picture, points) is None
    assert caption(picture[..., ::-1].copy(), points) is None
    assert caption(np.clip(picture * 1.6, 0, 255).astype(np.uint8), points) is None


@pytest.mark.parametrize("shape", ["letter", "dot", "bar", "below"])
def test_what_is_bright_but_no_line_of_letters_is_none(shape: str) -> None:
    picture, points = face(640)
    chin = points[ranks((152,))[0]].astype(int)
    image = picture.copy()
    if shape == "letter":
        image, _ = written(picture, points, "O", WHITE, 0.1)
    elif shape == "dot":
        cv2.circle(image, (int(chin[0]), int(chin[1]) - 30), 12, WHITE, -1)
    elif shape == "bar":
        cv2.rectangle(image, (0, int(chin[1]) - 40), (640, int(chin[1]) - 20), WHITE, -1)
    else:
        image, _ = written(picture, points, "WHAT", WHITE, 0.08, low=0.25)
    assert caption(image, points) is None


def test_skin_takes_the_place_of_letters() -> None:
    picture, points = face(640)
    image, _ = written(picture, points, "WHAT IS", WHITE, 0.1)
    covered = caption(image, points)
    assert covered is not None
    before, after = (np.abs(one.astype(int) - picture) for one in (image, inpainted(image, covered)))
    changed = before.max(2) > 30
    assert after[changed].mean() < 0.2 * before[changed].mean()
    assert (after[covered == 0] == before[covered == 0]).all()


def test_a_box_of_a_frame_shows_where_the_caption_is() -> None:
    picture, points = face(640)
    image, letters = written(picture, points, "WHAT IS", YELLOW, 0.1)
    (transform,) = fit_transforms(points[None])
    y, x = np.nonzero(letters)
    box = (x.min() + 30, y.min() - 10, x.max() - 30, y.max() + 10)  # cuts letters off at both sides
    free = outside_caption(image, box, transform, apply(transform, points))
    assert free is not None
    inside = letters[box[1] : box[3], box[0] : box[2]]
    assert free.shape == inside.shape
    assert free[inside].mean() < 0.05
    assert free.max() == 1
    assert outside_caption(picture, box, transform, apply(transform, points)) is None


def test_a_face_at_the_edge_of_a_frame_is_searched() -> None:
    picture, points = face(640)
    image, _ = written(picture, points, "WHAT IS", WHITE, 0.1)
    left, top = int(points[:, 0].min()) + 20, int(points[:, 1].min()) + 40
    cut, moved = image[top:, left:].copy(), points - (left, top)
    (transform,) = fit_transforms(moved[None])
    height, width = cut.shape[:2]
    free = outside_caption(cut, (0, height // 3, width, height), transform, apply(transform, moved))
    assert free is not None
    assert free.shape == (height - height // 3, width)


@pytest.mark.parametrize("captioned", [range(7, 20), range(40), range(0)])
def test_candidates_are_cleaned_where_some_have_captions(captioned: range) -> None:
    picture, points = face(640)
    image, _ = written(picture, points, "WHAT IS", WHITE, 0.16)
    candidates = Candidates(128)
    for index in range(40):
        candidates.offer(Frame(image if index in captioned else picture, index / 25, index), points)
    clean = without_captions(candidates.kept, np.stack([points] * 40))
    assert [one is not other for one, other in zip(clean, candidates.kept, strict=True)] == [
        index in captioned for index in range(40)
    ]
    (transform,) = fit_transforms(points[None])
    filmed, shown = (crop_image(one, transform, 128).astype(int) for one in (picture, image))
    for one in clean:
        assert np.abs(one.crop(transform, 128) - filmed).mean() < 0.5 * np.abs(shown - filmed).mean()


@pytest.mark.parametrize("level", [0, 16, 250])
def test_a_picture_ends_where_all_below_has_one_color(level: int) -> None:
    image = np.full((60, 80, 3), level, np.uint8)
    image[10:44, 30:50] = 120
    assert picture_end(image) == 44
    assert picture_end(image, lowest=50) == 50
    assert picture_end(np.full_like(image, level)) == 0
    image[59, 40:50] = 60
    assert picture_end(image) == 60
    assert picture_end(image, lowest=60) == 60


def test_the_last_row_of_the_picture_is_repeated_over_a_bar() -> None:
    rows = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 3), np.uint8)
    assert without_bar(rows, 3.7)[:, 0, 0].tolist() == [0, 1, 2, 2, 2, 2]
    assert without_bar(rows, 6) is rows
    assert without_bar(rows, -1) is rows


@pytest.mark.parametrize("side", [160, 640])
def test_candidates_do_not_show_a_bar(side: int) -> None:
    picture, points = face(side)
    bar = int(points[:, 1].max()) - side // 30
    letterboxed = picture.copy()
    letterboxed[bar:] = 0
    candidates = Candidates(64)
    candidates.offer(Frame(letterboxed, 0, 0), points)
    (kept,), (transform,) = candidates.kept, fit_transforms(points[None])
    assert kept.crop(transform, 64)[-8:].mean() < 40
    assert kept.without_bar(bar).crop(transform, 64)[-8:].mean() > 80
    assert kept.without_bar(10 * side) is kept
