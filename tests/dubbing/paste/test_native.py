from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.dubbing.paste.native import NativeCrops, native_side, with_amplitude
from lipsmith.face.crop import crop_image, crop_side
from lipsmith.face.references import encoded


def test_native_side_follows_the_crop_within_bounds() -> None:
    def cut(side: float) -> NDArray[np.float64]:
        return np.array([[[0.0, -1 / side, 0.2], [1 / side, 0.0, 0.1]]])

    assert crop_side(cut(250)[0]) == pytest.approx(250)
    assert [native_side(cut(side)) for side in (149.0, 300.4, 900.0)] == [None, 300, 512]


def test_the_fourth_channel_of_a_native_crop_is_the_amplitude_of_its_fine_detail() -> None:
    plain = np.full((100, 100, 3), 80, np.uint8)
    assert with_amplitude(plain).shape == (55, 100, 4)
    assert not with_amplitude(plain)[..., 3].any()
    checkered = plain + (8 * (np.indices((100, 100)).sum(0) % 2)).astype(np.uint8)[..., None]
    assert with_amplitude(checkered)[20, 50, 3] == pytest.approx(4 * 4, abs=1)  # 4 levels about the mean, 4 steps each
    assert (with_amplitude(checkered)[..., :3] == checkered[45:]).all()


def test_native_crops_are_cut_from_the_pictures_that_are_kept() -> None:
    slope = np.broadcast_to(np.linspace(20, 200, 90)[:, None, None], (90, 70, 3)).astype(np.uint8)
    shift = np.array([[1 / 60, 0, -0.1], [0, 1 / 60, -0.2]])
    crops = NativeCrops.of([encoded(np.full((50, 50, 3), 7, np.uint8)), encoded(slope)], [shift, shift], 60)
    assert len(crops) == 2
    assert crops[0].shape == (33, 60, 4)
    assert (crops[0][..., :3] == 7).all()
    assert np.abs(crops[1].astype(int) - with_amplitude(crop_image(slope, shift, 60))).max() <= 3
