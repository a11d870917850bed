"""Reference candidates: their number, frames and size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face import crop
from lipsmith.face.landmarks import select
from lipsmith.face.references import MOST_CANDIDATES, Candidates
from lipsmith.media import Frame
from scripted import mesh


def points(side: float, x: float, y: float) -> NDArray[np.float32]:
    return select(mesh(side, x, y)).astype(np.float32)


def gradient(width: int, height: int) -> NDArray[np.uint8]:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    return image


@pytest.mark.parametrize(
    ("frames", "stride"),
    [(MOST_CANDIDATES, 1), (MOST_CANDIDATES + 1, 2), (4 * MOST_CANDIDATES, 4), (4 * MOST_CANDIDATES + 1, 8)],
)
def test_candidates_are_evenly_spaced_in_time(frames: int, stride: int) -> None:
    candidates = Candidates(16)
    for index in range(frames):
        candidates.offer(Frame(gradient(20, 20), index / 25, index), points(10, 5, 5))
    assert [candidate.frame for candidate in candidates.kept] == list(range(0, frames, stride))


def test_crops_of_candidates_equal_crops_of_the_whole_picture() -> None:
    """This includes smoothed crops slightly beside the frame's own."""
    image, candidates = gradient(300, 200), Candidates(32)
    candidates.offer(Frame(image, 0.0, 7), points(60, 100, 80))
    (transform,) = crop.fit_transforms(points(62, 97, 81)[None])
    (candidate,) = candidates.kept
    assert candidate.frame == 7
    assert (candidate.crop(transform, 32) == crop.crop_image(image, transform, 32)).all()


def test_candidates_of_a_large_face_are_reduced_to_the_crop_size() -> None:
    """Otherwise 75 candidates of a 4K film would take a gigabyte."""
    image, candidates = gradient(3840, 2160), Candidates(64)
    candidates.offer(Frame(image, 0.0, 0), points(1500, 1100, 500))
    (candidate,) = candidates.kept
    assert max(candidate.part.image.shape) < 4 * 64
    (transform,) = crop.fit_transforms(points(1480, 1110, 510)[None])
    found = candidate.crop(transform, 64).astype(int)
    assert np.abs(found - crop.crop_image(image, transform, 64)).max() <= 2


def test_candidates_of_many_pixels_are_kept_as_jpeg() -> None:
    image, candidates = gradient(700, 600), Candidates(256)
    candidates.offer(Frame(image, 0.0, 0), points(400, 120, 90))
    (candidate,) = candidates.kept
    assert candidate.part.image.nbytes < 400 * 400 * 3 / 10
    (transform,) = crop.fit_transforms(points(400, 120, 90)[None])
    found = candidate.crop(transform, 256).astype(int)
    assert np.abs(found - crop.crop_image(image, transform, 256)).max() <= 6
