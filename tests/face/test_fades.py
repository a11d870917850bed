"""A frame that is faded to black or white is recognized, and rendered as if it were not faded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.face.look import Eyes, Fade, eyes_of, fades_of

Images = NDArray[np.uint8]


def crops(count: int, seed: int = 0) -> Images:
    """Return crops `(n, 128, 128, 3)` of one face, each with grain of its own."""
    random = np.random.default_rng(seed)
    face = cv2.resize(random.uniform(60, 200, (16, 16, 3)), (128, 128), interpolation=cv2.INTER_CUBIC)
    return np.clip(face + random.normal(0, 4, (count, 128, 128, 3)), 0, 255).astype(np.uint8)


def fade_of(frame: Eyes, pool: Eyes) -> Fade | None:
    """The fade of a single frame."""
    (found,) = fades_of(frame, pool)
    return found


def faded(image: Images, share: float, shade: int) -> Images:
    """Return the image with `share` of its contrast, the rest `shade`."""
    return np.rint(share * image.astype(float) + (1 - share) * shade).astype(np.uint8)


@given(share=st.floats(0.12, 0.6), shade=st.sampled_from((0, 128, 255)))
def test_a_fade_is_found_and_removed(share: float, shade: int) -> None:
    images = crops(8)
    seen = faded(images[0], share, shade)
    fade = fade_of(eyes_of(seen[None]), eyes_of(images[1:]))
    assert fade is not None
    assert fade.contrast == pytest.approx(share, rel=0.05)
    assert np.abs(fade.removed(seen).astype(float) - images[0]).mean() < 4
    assert np.abs(fade.applied(fade.removed(seen)).astype(float) - seen).mean() < 1


@pytest.mark.parametrize("shade", [0, 255])
def test_a_fade_begins_gradually_and_ends_before_noise_is_amplified(shade: int) -> None:
    images = crops(8)
    frames = (faded(images[0], share, shade) for share in np.arange(1, 0.02, -0.02))
    found = [fade_of(eyes_of(frame[None]), eyes_of(images[1:])) for frame in frames]
    contrasts = [fade.contrast if fade else 1.0 for fade in found]
    assert contrasts[:9] == [1.0] * 9
    assert (np.diff(contrasts[:40]) <= 0).all()
    assert np.abs(np.diff(contrasts[:40])).max() < 0.07
    assert min(contrasts) >= 0.1


def test_references_of_the_fade_do_not_hide_it() -> None:
    images = crops(12)
    pool = np.concatenate([faded(images[:4], 0.4, 255), images[4:11]])
    fade = fade_of(eyes_of(faded(images[11:], 0.4, 255)), eyes_of(pool))
    assert fade is not None
    assert fade.contrast == pytest.approx(0.4, rel=0.05)


def test_a_reference_of_more_contrast_does_not_hide_it() -> None:
    images = crops(8)
    harsh = np.clip(130 + 1.6 * (images[1:2].astype(float) - 130), 0, 255).astype(np.uint8)
    fade = fade_of(eyes_of(faded(images[:1], 0.4, 0)), eyes_of(np.concatenate([harsh, images[2:]])))
    assert fade is not None
    assert fade.contrast == pytest.approx(0.4, rel=0.2)


def test_other_and_empty_pictures_are_no_fade() -> None:
    pool = eyes_of(crops(8))
    assert fade_of(eyes_of(faded(crops(1, 1), 0.4, 0)), pool) is None
    for shade in (0, 90, 255):
        assert fade_of(eyes_of(np.full((1, 128, 128, 3), shade, np.uint8)), pool) is None
    assert fade_of(eyes_of(crops(1)), eyes_of(np.zeros((3, 128, 128, 3), np.uint8))) is None


def test_a_frame_that_moves_fades_with_those_beside_it() -> None:
    images = crops(9)
    pool = eyes_of(images[3:])
    seen = faded(images[:3], 0.4, 0)
    seen[1] = np.roll(seen[1], 3, axis=1)
    assert fade_of(eyes_of(seen[1:2]), pool) is None
    contrasts = [fade.contrast for fade in fades_of(eyes_of(seen), pool) if fade]
    assert contrasts == pytest.approx([0.4] * 3, rel=0.1)


def test_a_frame_without_a_fade_has_none_beside_one_that_fades() -> None:
    images = crops(9)
    found = fades_of(eyes_of(np.stack([images[0], faded(images[1], 0.4, 255)])), eyes_of(images[2:]))
    assert [fade is None for fade in found] == [True, False]
