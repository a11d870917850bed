from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from double import make_dubber
from lipsmith.media import VideoWriter
from lipsmith.serve.media import describe_faces
from synthetic import FACE


def test_the_thumbnail_of_a_face_that_leaves_and_returns_shows_it(tmp_path: Path) -> None:
    there = np.r_[0:10, 40:50]
    with VideoWriter(tmp_path / "film.mp4", 320, 320, 25) as film:
        for frame in range(50):
            film.write(np.full((320, 320, 3), 255 * (frame in there), np.uint8), frame / 25)
    (face,) = make_dubber().prepare(FACE).faces
    transforms = np.repeat(face.transforms, len(there), axis=0)
    face = replace(face, frames=there, transforms=transforms, seconds=(0.0, 49 / 25))
    (described,) = describe_faces(tmp_path / "film.mp4", [face], np.arange(50) / 25)
    _, encoded = described["thumbnail"].split(",")
    assert cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR).mean() > 250
