"""In a fade the mouth is as faint as the face around it."""

from __future__ import annotations

import numpy as np
import pytest

from lipsmith import Dubber
from synthetic import face_at, speech

SHARE = 0.4


@pytest.mark.parametrize("shade", [0, 255])
def test_a_faded_frame_is_the_dubbed_frame_faded(shade: int) -> None:
    dubber = Dubber.from_pretrained("fast", device="cpu", threads=2)
    plain = [face_at(index / 25) for index in range(30)]
    filmed = plain[:28] + [np.rint(SHARE * image + (1 - SHARE) * shade).astype(np.uint8) for image in plain[28:]]
    said = speech(30 / 25)
    clear, found = (list(dubber.prepare(images).dub(said).frames()) for images in (plain, filmed))
    for bright, faint in zip(clear[28:], found[28:], strict=True):
        changed = (faint.image != filmed[faint.index]).any(-1)
        assert changed.sum() > 1000
        expected = SHARE * bright.image + (1 - SHARE) * shade
        assert np.abs(faint.image - expected)[changed].mean() < 3
