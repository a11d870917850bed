"""Frames come back bit for bit, in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.media.lossless import LosslessFrames, write_lossless


def noise(frames: int, height: int = 35, width: int = 51) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("order", [range(12), range(11, -1, -1), (3, 3, 9, 0, 11, 10)])
def test_frames_are_read_in_any_order(tmp_path: Path, order: range | tuple[int, ...]) -> None:
    images = noise(12)
    write_lossless(tmp_path / "film.avi", images)
    frames = LosslessFrames(tmp_path / "film.avi")
    assert all(np.array_equal(frames[index], images[index]) for index in order)
    frames.close()


def test_a_missing_frame_is_an_input_error(tmp_path: Path) -> None:
    write_lossless(tmp_path / "film.avi", noise(3))
    frames = LosslessFrames(tmp_path / "film.avi")
    with pytest.raises(InputError, match="frame 7"):
        frames[7]
    assert np.array_equal(frames[1], noise(3)[1])


def test_a_damaged_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "film.avi").write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(InputError, match="prepare the clip again"):
        LosslessFrames(tmp_path / "film.avi")
