"""References that look otherwise than a frame are recognized: something covers the skin of one alone, or blurs it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face.landmarks import ranks
from lipsmith.face.look import Appearance, appearance, is_absent, unlike, unusual

Images = NDArray[np.uint8]


def faces(count: int, seed: int = 0) -> tuple[Images, NDArray[np.float32]]:
    """Return crops `(n, 128, 128, 3)` of grainy skin, and points with lips and jaw in place."""
    random = np.random.default_rng(seed)
    grain = random.normal(0, 8, (count, 128, 128, 3))
    points = np.full((count, 131, 2), 0.5, np.float32)
    for lip, jaw, x in ((61, 136, 0.38), (91, 149, 0.42), (84, 148, 0.46), (17, 152, 0.5)):
        points[:, ranks((lip, jaw))] = np.array([[x, 0.7], [x - 0.5 * (0.5 - x), 0.95 - 0.5 * (0.5 - x)]])
    for lip, jaw, x in ((314, 377, 0.54), (321, 378, 0.58), (291, 365, 0.62)):
        points[:, ranks((lip, jaw))] = np.array([[x, 0.7], [x + 0.5 * (x - 0.5), 0.95 - 0.5 * (x - 0.5)]])
    return np.clip(np.array([180, 140, 120]) + grain, 0, 255).astype(np.uint8), points


def looks(images: Images) -> Appearance:
    return appearance(images, faces(len(images))[1])


def captioned(images: Images, bottom: int = 116) -> Images:
    """Return the crops with a yellow word on the chin, down to the row `bottom`."""
    written = images.copy()
    for image in written:
        cv2.putText(image, "of", (46, bottom), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 240, 0), 7)
    return written


def test_a_caption_on_one_of_them_makes_two_faces_unlike() -> None:
    images = faces(6)[0]
    for frame, pool in ((images, captioned(images)), (captioned(images), images)):
        assert unlike(looks(frame[:1]), looks(pool[1:])).min() > 0.9


def test_a_caption_on_the_edge_of_the_chin_makes_two_faces_unlike() -> None:
    images = faces(6)[0]
    assert unlike(looks(images[:1]), looks(captioned(images[1:], 134))).min() > 0.9


def test_what_is_dark_before_a_face_is_as_unusual_as_what_is_bright() -> None:
    images = faces(9)[0]
    images[2] = captioned(images[2:3])[0]
    images[5, 96:, 54:74] = 10  # a microphone
    suspected, odd = unusual(looks(images))
    assert sorted(suspected) == np.flatnonzero(odd).tolist() == [2, 5]


def test_the_same_caption_on_both_does_not() -> None:
    images = captioned(faces(6)[0])
    assert unlike(looks(images[:1]), looks(images[1:])).max() == 0


@pytest.mark.parametrize("light", [0.9, 1.1])
def test_other_light_does_not(light: float) -> None:
    images = faces(6)[0]
    lit = np.clip(light * images.astype(float), 0, 255).astype(np.uint8)
    assert unlike(looks(images[:1]), looks(lit[1:])).max() == 0


def test_a_blurred_reference_is_unlike_a_sharp_frame_but_not_the_other_way_round() -> None:
    images = faces(6)[0]
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in images])
    assert unlike(looks(images[:1]), looks(blurred[1:])).min() == 1
    assert unlike(looks(blurred[:1]), looks(images[1:])).max() == 0


def test_points_outside_the_crop_are_taken_at_its_edge() -> None:
    images, points = faces(2)
    assert np.isfinite(appearance(images, points + 2).colors).all()
    assert np.isfinite(appearance(images, points - 2).colors).all()


@pytest.mark.parametrize("shade", [0, 255])
def test_a_flash_shows_no_face(shade: int) -> None:
    images = faces(6)[0]
    assert is_absent(looks(np.full_like(images[:1], shade)), looks(images[1:]))


def test_a_face_in_other_light_or_with_a_caption_is_there() -> None:
    images = faces(6)[0]
    dark = (0.8 * images.astype(float)).astype(np.uint8)
    for frame in (images[:1], dark[:1], captioned(images)[:1]):
        assert not is_absent(looks(frame), looks(images[1:]))
    assert not is_absent(looks(dark[:1]), looks(np.concatenate([np.zeros_like(images[:2]), images[1:2]])))
