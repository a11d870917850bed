"""The real networks on real faces."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face import FaceTracker

Picture = NDArray[np.uint8]
INNER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)


def pictures(path: Path, count: int) -> list[Picture]:
    with av.open(str(path)) as film:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in islice(film.decode(video=0), count)]


@pytest.fixture(scope="module")
def people(clips: Path) -> list[list[Picture]]:
    """The first frames of three people."""
    by_person = {path.name[:4]: path for path in sorted((clips / "val").glob("*.mp4"))}
    return [pictures(path, 12) for path in list(by_person.values())[:3]]


def test_one_face_is_found_in_every_frame(people: list[list[Picture]]) -> None:
    for film in people:
        tracker = FaceTracker()
        tracked = [tracker.track(image) for image in film]
        assert [[face.face for face in frame.faces] for frame in tracked] == [[0]] * len(film)
        assert min(frame.faces[0].score for frame in tracked) > 0.9


def test_facial_features_are_in_order(people: list[list[Picture]]) -> None:
    for film in people:
        mesh = FaceTracker().track(film[0]).faces[0].mesh
        brow, eye, nose, lip, chin = mesh[[105, 159, 1, 0, 152], 1]
        assert brow < eye < nose < lip < chin
        assert mesh[33, 0] < mesh[133, 0] < mesh[362, 0] < mesh[263, 0]


def test_mirrored_and_rotated_pictures_give_mirrored_and_rotated_meshes(people: list[list[Picture]]) -> None:
    image = people[0][0]
    height, width = image.shape[:2]
    mesh = FaceTracker().track(image).faces[0].mesh
    face = np.ptp(mesh[:, 0])
    mirrored = FaceTracker().track(np.ascontiguousarray(image[:, ::-1])).faces[0].mesh
    lips = mesh[list(INNER_LIP)].mean(0)
    assert np.abs((width - mirrored[list(INNER_LIP)].mean(0)[0]) - lips[0]) < 0.02 * face
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 30, 1)
    turned = np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    expected = (mesh - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5
    found = FaceTracker().track(turned).faces[0].mesh
    assert np.linalg.norm(found - expected, axis=-1).mean() < 0.025 * face


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_sideways_or_upside_down_has_a_correct_mesh(people: list[list[Picture]], quarters: int) -> None:
    image = people[0][0]
    lips = FaceTracker().track(image).faces[0].mesh[list(INNER_LIP)].mean(0)
    middle = np.array(image.shape[1::-1]) / 2
    cos, sin = np.cos(quarters * np.pi / 2), np.sin(quarters * np.pi / 2)
    turned = np.ascontiguousarray(np.rot90(image, quarters))
    expected = np.array([[cos, sin], [-sin, cos]]) @ (lips - middle) + np.array(turned.shape[1::-1]) / 2
    found = FaceTracker().track(turned).faces[0].mesh[list(INNER_LIP)].mean(0)
    assert np.abs(found - expected).max() < 4


def test_a_still_picture_has_a_still_mesh(people: list[list[Picture]]) -> None:
    for film in people:
        tracker = FaceTracker()
        meshes = np.array([tracker.track(film[0]).faces[0].mesh for _ in range(6)])
        assert np.abs(meshes - meshes[0]).max() < 0.1


def test_a_small_face_in_a_wide_frame_is_found(people: list[list[Picture]]) -> None:
    image = people[1][0]
    x0, _, x1, _ = FaceTracker().track(image).faces[0].box
    scale = 60 / (x1 - x0)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((720, 1280, 3), 90, np.uint8)
    canvas[500 : 500 + small.shape[0], 900 : 900 + small.shape[1]] = small
    (face,) = FaceTracker().track(canvas).faces
    assert face.box[0] == pytest.approx(900 + x0 * scale, abs=4)
    assert face.box[2] - face.box[0] == pytest.approx(60, abs=6)


def test_a_cut_between_two_people_starts_a_new_shot(people: list[list[Picture]]) -> None:
    first, second = people[0], people[1]
    height, width = first[0].shape[:2]
    film = first + [np.asarray(cv2.resize(image, (width, height)), np.uint8) for image in second]
    tracker = FaceTracker()
    tracked = [tracker.track(image) for image in film]
    assert [frame.shot for frame in tracked] == [0] * len(first) + [1] * len(second)
    assert [len(frame.faces) for frame in tracked] == [1] * len(film)


def test_two_people_are_both_tracked(people: list[list[Picture]]) -> None:
    pairs = [
        np.hstack([cv2.resize(image, (300, 300)) for image in pair]) for pair in zip(people[0], people[2], strict=True)
    ]
    tracker = FaceTracker(max_faces=2)
    tracked = [tracker.track(np.asarray(image, np.uint8)) for image in pairs]
    assert all([face.face for face in frame.faces] == [0, 1] for frame in tracked)
    left = [next(face.face for face in frame.faces if face.box[0] < 200) for frame in tracked]
    assert len(set(left)) == 1


@pytest.mark.parametrize("shape", [(360, 640), (48, 48), (20, 900)])
def test_a_gray_frame_has_no_face(shape: tuple[int, int]) -> None:
    tracker = FaceTracker()
    assert all(tracker.track(np.full((*shape, 3), 128, np.uint8)).faces == [] for _ in range(3))
