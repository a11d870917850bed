"""Draws frames of a dubbed film side by side: python demo/film_strip.py FILM PICTURE LEFT TOP RIGHT BOTTOM."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from lipsmith.media import read_frames

FRAMES = 8
HEIGHT = 200


def film_strip(film: Path, box: tuple[int, int, int, int]) -> np.ndarray:
    """`FRAMES` evenly spaced frames, cut to `box` (left, top, right, bottom) and enlarged, as one BGR picture."""
    left, top, right, bottom = box
    cut = [frame.image[top:bottom, left:right] for frame in read_frames(film)]
    chosen = [cut[index] for index in np.linspace(0, len(cut) - 1, FRAMES + 2).round().astype(int)[1:-1]]
    width = round(HEIGHT * (right - left) / (bottom - top))
    row = [cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_CUBIC) for image in chosen]
    return np.concatenate(row, axis=1)[..., ::-1]


if __name__ == "__main__":
    film, picture, *edges = sys.argv[1:]
    left, top, right, bottom = map(int, edges)
    cv2.imwrite(picture, film_strip(Path(film), (left, top, right, bottom)))
