"""Captions over the chin stay as filmed, in their own frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
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


@pytest.mark.parametrize("look", ["box", "dark letters", "slanted letters"])
def test_captions_of_any_look_stay_as_filmed(look: str) -> None:
    dubber = Dubber.from_pretrained("fast", device="cpu", threads=2)
    plain = [face_at(index / 25, (480, 480)) for index in range(FRAMES)]
    face = dubber.prepare(plain).chosen[0]
    chin = np.median(apply(invert(face.transforms), face.points[:])[:, ranks((152,))[0]], axis=0)
    letters, shown = np.zeros((480, 480), np.uint8), np.zeros((480, 480), np.uint8)
    x, y = np.round(chin).astype(int)
    cv2.putText(letters, "what I mean", (x - 62, y - 12), cv2.FONT_HERSHEY_DUPLEX, 0.65, 255, 2, cv2.LINE_AA)
    if look == "slanted letters":
        cv2.warpAffine(letters.copy(), cv2.getRotationMatrix2D((float(x), float(y)), 15, 1), (480, 480), letters)
    if look == "box":
        cv2.rectangle(shown, (x - 70, y - 34), (x + 70, y), 255, -1)
    paper, ink = (np.array(color) for color in ((250, 250, 250), (20, 20, 20)))
    film = []
    for image in plain:
        boxed = image + (shown[..., None] / 255) * (paper - image)
        film.append(np.round(boxed + (letters[..., None] / 255) * (ink - boxed)).astype(np.uint8))
    covered = np.maximum(letters, shown) > 127
    lost, mouth = [], []
    for dubbed in dubber.prepare(film).dub(speech(FRAMES / 25)).frames():
        changed = np.abs(dubbed.image.astype(int) - film[dubbed.index]).max(2)
        lost.append((changed[covered] > 24).mean())
        mouth.append((changed > 20).sum())
    assert np.mean(lost) < 0.05
    assert np.mean(mouth) > 100


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
    beside = []
    for (image, letters), unwritten, dubbed, without in zip(shown, plain, *dubs, strict=True):
        changed = np.abs(dubbed.image.astype(int) - image).max(2)
        assert changed[letters].mean() < 2, dubbed.index
        assert (changed > 20).sum() > 100
        skin = (image == unwritten).all(2)
        unlike = [np.abs(dubbed.image.astype(int) - other).max(2)[skin] for other in (without.image, image)]
        assert (np.minimum(*unlike) > 60).sum() < 0.03 * letters.sum(), dubbed.index  # no ghosts of other letters
        beside.append((unlike[0] > 60).sum() / letters.sum())
    assert np.mean(beside) < 0.03  # nor much of the filmed chin
