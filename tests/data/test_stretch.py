"""A run of frames that follows one face: what is known of lost frames, and what waits for it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.data.prepare.stretch import Stretch
from lipsmith.face import crop
from lipsmith.face.landmarks import select


class _Crops:
    """Takes the place of the film that is written."""

    def __init__(self) -> None:
        self.images: list[NDArray[np.uint8]] = []

    def write(self, image: NDArray[np.uint8]) -> None:
        self.images.append(image)


def test_geometry_of_lost_frames_is_interpolated() -> None:
    """A face that moves 2 pixels a frame, unseen in frames 10 to 14 and after frame 30."""
    mesh = np.random.default_rng(0).uniform(60, 140, (478, 2)).astype(np.float32)
    mesh[list(crop.ANCHORS)] = crop.TEMPLATE * 128 + 40
    writer, seen = _Crops(), [*range(10), *range(15, 31)]
    stretch = Stretch(writer, 32, 25.0)  # type: ignore[arg-type]
    for index in range(35):
        shown = mesh + np.float32(2 * index) if index in seen else None
        stretch.add(np.full((300, 300, 3), index, np.uint8), index / 25, shown)
    assert stretch.gap == pytest.approx(4 / 25)
    arrays = stretch.finish()
    assert [int(image.mean()) for image in writer.images] == list(range(31))
    assert arrays["tracked"].nonzero()[0].tolist() == seen
    expected = crop.fit_transforms(select(np.stack([mesh + np.float32(2 * index) for index in range(31)])))
    assert arrays["transforms"] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(arrays["landmarks"], axis=0).max() < 1e-4


def test_large_pictures_wait_as_small_as_their_crops_allow() -> None:
    """Else a face of a 4K film that is lost for a second fills a gigabyte. Half of the crops are of lost frames."""
    mesh = np.full((478, 2), 0.6, np.float32)
    mesh[list(crop.ANCHORS)] = crop.TEMPLATE
    mesh = mesh * 1500 + np.array([1100, 500], np.float32)
    image = np.zeros((2160, 3840, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, 3840)
    image[..., 1] = np.linspace(0, 255, 2160)[:, None]
    writer, waited = _Crops(), 0
    stretch = Stretch(writer, 64, 25.0)  # type: ignore[arg-type]
    for index in range(20):
        stretch.add(image, index / 25, None if 5 <= index < 15 else mesh + np.float32(9 * index))
        waited = max(waited, sum(part.image.nbytes for part in stretch._waiting))
    transforms = stretch.finish()["transforms"]
    assert waited < 20 * (2 * 2 * 64) ** 2 * 3
    for cropped, transform in zip(writer.images, transforms, strict=True):
        assert np.abs(cropped.astype(int) - crop.crop_image(image, transform, 64)).max() <= 2
