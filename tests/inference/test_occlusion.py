"""What lies before a face is found by comparison with what was drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face import FaceTracker
from lipsmith.face.crop import crop_image, fit_transforms
from lipsmith.face.landmarks import OUTER_LIP, Floats, ranks, select
from lipsmith.inference.occlusion import before_faces, cells, occlusions
from objects import Point, with_hand, with_microphone
from synthetic import face_at

SIDE = 128


@pytest.fixture(scope="module")
def face() -> tuple[NDArray[np.uint8], Floats]:
    picture = face_at(0.0, (480, 480))
    [found] = FaceTracker().track(picture).faces
    return picture, select(found.mesh).astype(np.float64)


def crop(picture: NDArray[np.uint8], points: Floats) -> NDArray[np.uint8]:
    return crop_image(picture, fit_transforms(points[None])[0], SIDE)


def test_what_the_network_sees_are_means_of_cells() -> None:
    image = np.arange(SIDE * SIDE * 3, dtype=np.float32).reshape(1, SIDE, SIDE, 3)
    seen = cells(image)
    assert seen.shape == (1, 32, 64, 3)
    assert np.allclose(seen[0, 0, 0], image[0, 64:66, :2].mean((0, 1)))
    assert np.allclose(cells(image[..., 0]), seen[..., 0])


@pytest.mark.parametrize("at", [(-0.9, 0.4), (0.0, 0.1), (0.8, 0.6)])
def test_hands_and_microphones_are_found(face: tuple[NDArray[np.uint8], Floats], at: Point) -> None:
    picture, points = face
    for hold in (with_hand, with_microphone):
        held, inside = hold(picture, points, at)
        (covers,) = occlusions(crop(held, points)[None], crop(picture, points)[None])
        assert covers is not None
        assert covers.shape == (SIDE, SIDE)
        there = crop_image(
            np.repeat(inside[..., None], 3, 2).astype(np.uint8) * 255, fit_transforms(points[None])[0], SIDE
        )
        within = there[SIDE // 2 :, 24:104, 0] > 200
        lower = covers[SIDE // 2 :, 24:104]
        assert lower[within].mean() > 0.9, hold.__name__
        assert (lower[cv2.dilate(there, np.ones((9, 9), np.uint8))[SIDE // 2 :, 24:104, 0] == 0] > 0.5).mean() < 0.05


def test_another_light_covers_nothing(face: tuple[NDArray[np.uint8], Floats]) -> None:
    picture, points = face
    drawn = crop(picture, points)
    shade = np.linspace(0.75, 1.1, SIDE)[:, None]
    lights = [drawn * 0.8, drawn * shade, drawn * (1.05, 1.0, 0.9), cv2.GaussianBlur(drawn, (0, 0), 1.0)]
    filmed = np.stack([np.clip(light, 0, 255) for light in lights]).astype(np.uint8)
    assert occlusions(filmed, np.repeat(drawn[None], len(lights), 0)) == [None] * len(lights)


def test_what_lies_on_lips_alone_does_not_count() -> None:
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[64:110, 30:98] = 1
    points = np.zeros((131, 2))
    lips = ranks(OUTER_LIP)
    around = np.linspace(0, 2 * np.pi, len(lips), endpoint=False)
    points[lips] = np.array([0.5, 0.67]) + np.stack([0.15 * np.cos(around), 0.08 * np.sin(around)], 1)
    places = {
        "from below": (slice(90, 128), slice(60, 70)),
        "from the side": (slice(70, 80), slice(80, 128)),
        "mouth": (slice(80, 92), slice(50, 78)),
        "upper lip and nose": (slice(56, 82), slice(50, 78)),
        "sticker on the chin": (slice(98, 106), slice(56, 76)),
        "cup": (slice(68, 108), slice(40, 75)),
    }
    kept = []
    for name, place in places.items():
        covers = np.zeros((SIDE, SIDE), np.float32)
        covers[place] = 1
        found = before_faces(covers, mask, [points])
        assert not found.any() or np.array_equal(found, covers)
        kept += [name] if found.any() else []
    assert kept == ["from below", "from the side", "sticker on the chin", "cup"]
