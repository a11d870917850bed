"""A dub of black-and-white footage is black and white."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lipsmith import Dubber
from synthetic import face_at, speech


def test_the_mouth_has_no_color_where_the_film_has_none() -> None:
    images = [np.asarray(Image.fromarray(face_at(index / 25)).convert("L").convert("RGB")) for index in range(20)]
    clip = Dubber.from_pretrained("fast", device="cpu", threads=2).prepare(images)
    for frame in clip.dub(speech(20 / 25)).frames():
        assert (frame.image != images[frame.index]).any()
        assert (np.ptp(frame.image, axis=-1) <= 1).all()
