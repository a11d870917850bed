"""A bar below the picture, as in letterboxed films, stays as filmed, and no chin takes its color."""

from __future__ import annotations

import numpy as np

from lipsmith import Dubber
from lipsmith.face.crop import apply, invert
from lipsmith.face.landmarks import JAW, ranks
from synthetic import Motion, face_at, speech

FRAMES = 30


def test_a_chin_below_the_picture_is_cut_off_by_the_bar() -> None:
    dubber = Dubber.from_pretrained("fast", device="cpu", threads=2)
    whole = [face_at(index / 25, (320, 320), Motion(scale=0.05, period=1)) for index in range(FRAMES)]
    (face,) = dubber.prepare(whole).chosen
    chins = apply(invert(face.transforms), face.points[:])[:, ranks(JAW), 1].max(1)
    bar = int(chins.min()) - 6
    images = [image.copy() for image in whole]
    for image in images:
        image[bar:] = 0
    for dubbed in dubber.prepare(images).dub(speech(FRAMES / 25)).frames():
        filmed = images[dubbed.index]
        assert (dubbed.image[bar:] == 0).all(), dubbed.index
        changed = np.abs(dubbed.image.astype(int) - filmed).max(2)
        assert (changed > 20).sum() > 50, dubbed.index
        skin = filmed[bar - 12 : bar].mean(2) > 100
        assert dubbed.image[bar - 12 : bar].mean(2)[skin].min() > 60, dubbed.index
