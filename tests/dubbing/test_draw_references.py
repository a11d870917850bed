"""The references of faces are encoded when they are needed, and kept for as many faces as one frame shows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import pytest

from double import Double, Floats, make_dubber
from dub_samples import two_faces, write_film
from lipsmith.dubbing.encoded import EncodedFaces
from lipsmith.dubbing.scan import Face
from synthetic import SPEECH_RATE, make_film, speech


@pytest.fixture
def face(tmp_path: Path) -> Face:
    (found,) = make_dubber().prepare(make_film(tmp_path / "film.mp4", 0.2, 25, (160, 160))).faces
    return found


@pytest.mark.parametrize(
    ("most", "asked", "encoded"),
    [
        (2, "0101", 2),
        (2, "01020", 3),  # the least recently used one goes
        (2, "012120", 4),
        (1, "001", 2),
        (1, "010", 3),
    ],
)
def test_as_many_faces_are_kept_as_are_allowed(face: Face, most: int, asked: str, encoded: int) -> None:
    backend = Double()
    faces = EncodedFaces(backend, most)
    for index in asked:
        faces[replace(face, index=int(index))]
    assert backend.calls["reference"] == encoded * len(face.pool)


def test_a_face_that_two_threads_need_is_encoded_once(face: Face) -> None:
    class Slow(Double):
        def _reference(self, image: Floats, sketch: Floats) -> tuple[Floats, ...]:
            with suppress(BrokenBarrierError):
                both.wait(0.2)
            return super()._reference(image, sketch)

    both, backend = Barrier(2), Slow()
    faces = EncodedFaces(backend, 2)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(faces.__getitem__, [face, face])
    assert one is other
    assert backend.calls["reference"] == len(face.pool)


def test_all_faces_that_speak_in_a_frame_are_encoded_once(tmp_path: Path) -> None:
    """Also where only one of them was chosen when the footage was prepared."""
    backend = Double()
    clip = make_dubber(backend, threads=1).prepare(write_film(tmp_path / "two.mp4", [two_faces()] * 12))
    assert clip.encoded.most == len(clip.chosen) == 1
    result = clip.dub({face.number: speech(0.4) for face in clip.faces}, SPEECH_RATE)
    assert len(list(result.frames())) == 10
    assert len(result.mouths) == 2
    assert backend.calls["reference"] == sum(len(face.pool) for face in clip.faces)
