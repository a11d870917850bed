"""Captions over the chin stay as filmed, in their own frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from caption_samples import WHITE, written
from lipsmith import Dubber
from lipsmith.face.crop import apply, invert
from lipsmith.face.landmarks import ranks
from synthetic import face_at, speech

FRAMES = 40
YELLOW = np.array([255, 240, 0])


def yellow(image: NDArray[np.uint8]) -> int:
    """Return how many pixels are clearly yellow."""
    return int((np.abs(image.astype(int) - YELLOW).max(-1) < 90).sum())


def test_a_caption_of_later_frames_does_not_appear_in_earlier_ones() -> None:
    dubber = Dubber.from_pretrained("fast", device="cpu", threads=2)
    plain = [face_at(index / 25) for index in range(FRAMES)]
    face = dubber.prepare(plain).chosen[0]
    chin = face.transforms[:, :, :2], face.transforms[:, :, 2], face.points[:, ranks((152,))[0]]
    images = []
    for index, image in enumerate(plain):
        written = image.copy()
        if index >= FRAMES // 2:
            linear, offset, unit = (part[index] for part in chin)
            x, y = (np.linalg.inv(linear) @ (unit - offset)).astype(int)
            cv2.putText(written, "of", (x - 25, y - 4), cv2.FONT_HERSHEY_SIMPLEX, 1.2, YELLOW.tolist(), 7)
        images.append(written)
    clip = dubber.prepare(images)
    for dubbed in clip.dub(speech(FRAMES / 25)).frames():
        filmed = images[dubbed.index]
        assert abs(yellow(dubbed.image) - yellow(filmed)) <= 0.1 * yellow(images[-1]), dubbed.index


def test_words_that_change_stay_readable() -> None:
    dubber = Dubber.from_pretrained("fast", device="cpu", threads=2)
    plain = [face_at(index / 25, (480, 480)) for index in range(FRAMES)]
    face = dubber.prepare(plain).chosen[0]
    points = apply(invert(face.transforms), face.points[:])
    words = ["SO THIS", "IS WHAT", "they say", "EVERY", "DAY"]
    shown = [
        written(image, points[index], words[index // 4 % len(words)], WHITE, 0.13) for index, image in enumerate(plain)
    ]
    films = [[image for image, _ in shown], plain]
    dubs = [dubber.prepare(film).dub(speech(FRAMES / 25)).frames() for film in films]
    for (image, letters), unwritten, dubbed, without in zip(shown, plain, *dubs, strict=True):
        changed = np.abs(dubbed.image.astype(int) - image).max(2)
        assert changed[letters].mean() < 2, dubbed.index
        assert (changed > 20).sum() > 100
        skin = (image == unwritten).all(2)
        unlike = [np.abs(dubbed.image.astype(int) - other).max(2)[skin] for other in (without.image, image)]
        assert (np.minimum(*unlike) > 60).sum() < 0.03 * letters.sum(), dubbed.index  # no ghosts of other letters
