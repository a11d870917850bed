"""Frames without the face in the middle of a shot, such as a flash, stay as filmed, however few they are."""

from __future__ import annotations

import numpy as np
import pytest

from lipsmith import Dubber
from lipsmith.dubbing.scan import LONGEST_GAP
from synthetic import face_at, speech


@pytest.mark.parametrize("shade", [0, 255])
def test_no_mouth_is_drawn_on_a_flash(shade: int) -> None:
    images = [face_at(index / 25) for index in range(16)]
    flash = range(8, 8 + LONGEST_GAP)
    for index in flash:
        images[index] = np.full_like(images[index], shade)
    clip = Dubber.from_pretrained("fast", device="cpu", threads=2).prepare(images)
    changed = {
        frame.index for frame in clip.dub(speech(16 / 25)).frames() if (frame.image != images[frame.index]).any()
    }
    assert changed == set(range(16)) - set(flash)
