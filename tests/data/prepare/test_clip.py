"""Detection of a second speaker."""

from __future__ import annotations

import numpy as np

from lipsmith.data.prepare.clip import rivals
from lipsmith.face.stretches import Shot, ShotFace, Stretch


def face(frames: range, height: float) -> ShotFace:
    boxes = np.tile(np.array([0, 0, height, height], np.float32), (len(frames), 1))
    return ShotFace(np.array(frames), boxes, [], [])


def stretch(first: int, frames: int) -> Stretch:
    none = np.zeros(frames)
    return Stretch(first, none, none, none, none, none)  # type: ignore[arg-type]


def test_tall_faces_beside_the_main_face_are_counted_within_the_stretch() -> None:
    main = face(range(2, 12), 100)
    tall, small, absent = face(range(8, 20), 60), face(range(2, 12), 40), face(range(12, 20), 90)
    shot = Shot(0, 0, 19, [main, tall, small, absent])
    assert rivals(shot, main, stretch(2, 10)) == 4  # 8 to 11
    assert rivals(shot, main, stretch(2, 7)) == 1
    assert rivals(Shot(0, 0, 19, [main, small, absent]), main, stretch(2, 10)) == 0


def test_two_tall_faces_in_one_frame_count_once() -> None:
    main = face(range(10), 100)
    shot = Shot(0, 0, 9, [main, face(range(4), 60), face(range(2, 6), 70)])
    assert rivals(shot, main, stretch(0, 10)) == 6
