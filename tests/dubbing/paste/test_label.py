"""The label is small, legible, and in the corner."""

import numpy as np
import pytest

from lipsmith.dubbing.paste.label import labeled


@pytest.mark.parametrize("size", [(240, 320), (1080, 1920), (1920, 1080)])
def test_the_label_is_small_and_in_the_lower_right_corner(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 120, np.uint8)
    result = labeled(image)
    rows, columns = np.nonzero((result != image).any(-1))
    assert (rows.max(), columns.max()) == (size[0] - 1, size[1] - 1)
    assert size[0] - rows.min() < 0.12 * min(size)
    assert size[1] - columns.min() < 0.4 * min(size)
    assert (image == 120).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_white_letters_are_legible_on_any_picture(level: int) -> None:
    image = np.full((360, 480, 3), level, np.uint8)
    changed = labeled(image)[-10:, -60:]
    assert changed.max() > 200
    assert changed.min() <= 0.45 * level + 1


def test_a_tiny_picture_keeps_its_size() -> None:
    assert labeled(np.zeros((8, 8, 3), np.uint8)).shape == (8, 8, 3)
