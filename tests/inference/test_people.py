"""People are recognized: embeddings are those of OpenCV, and who is alike and never together is one person."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harmed_pictures import Crops
from lipsmith.errors import WeightsError
from lipsmith.face.crop import apply, crop_image, fit_transforms
from lipsmith.face.landmarks import select
from lipsmith.inference.people import FaceRecognizer, alignment, embed_faces, five_points, people
from lipsmith.models.third_party import THIRD_PARTY


def test_embeddings_are_those_of_opencvs_recognizer(weights: Path, portrait: tuple[Crops, NDArray[np.float32]]) -> None:
    picture, mesh = portrait
    theirs = cv2.FaceRecognizerSF.create(str(weights / "sface_int8.onnx"), "")
    aligned = cv2.warpAffine(picture[0], alignment(five_points(mesh[0] * 256)), (112, 112))
    expected = theirs.feature(cv2.cvtColor(aligned, cv2.COLOR_RGB2BGR))[0]
    found = FaceRecognizer(weights / "sface_int8.onnx")(picture, mesh * 256)[0]
    assert found @ expected / np.linalg.norm(expected) > 0.999


def test_five_points_are_eyes_nose_and_mouth(portrait: tuple[Crops, NDArray[np.float32]]) -> None:
    points = five_points(portrait[1][0])
    right_eye, left_eye, nose, right_corner, left_corner = points
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_corner[0] < left_corner[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_corner[1], left_corner[1])


def test_five_points_of_the_131_are_those_of_the_mesh(portrait: tuple[Crops, NDArray[np.float32]]) -> None:
    assert np.array_equal(five_points(select(portrait[1][0])), five_points(portrait[1][0]))


def test_a_crop_shows_the_same_person_as_the_picture(
    weights: Path, portrait: tuple[Crops, NDArray[np.float32]]
) -> None:
    picture, mesh = portrait[0][0], portrait[1] * 256
    transform = fit_transforms(select(mesh))[0]
    recognizer = FaceRecognizer(weights / "sface_int8.onnx")
    crop = crop_image(picture, transform, 128)
    points = apply(transform, select(mesh[0]))
    found = recognizer.mean(np.stack([crop] * 7), np.stack([points] * 7))
    assert found @ recognizer(portrait[0], mesh)[0] > 0.9
    assert np.linalg.norm(found) == pytest.approx(1)


def looks(*cosines: float) -> NDArray[np.float64]:
    """Unit vectors at these cosines to the first axis, otherwise unlike each other."""
    found = np.zeros((len(cosines), 1 + len(cosines)))
    found[:, 0] = cosines
    found[np.arange(len(cosines)), 1 + np.arange(len(cosines))] = np.sqrt(1 - np.square(cosines))
    return found


def seen(*spans: tuple[int, int]) -> list[NDArray[np.intp]]:
    return [np.arange(first, last) for first, last in spans]


APART = ((0, 5), (5, 10), (10, 15), (15, 20))


@pytest.mark.parametrize(
    ("cosines", "spans", "numbers"),
    [
        ((0.9, 0.9, 0.0, 0.9), APART, [1, 1, 2, 1]),
        ((0.9, 0.0, 0.9, 0.0), APART, [1, 2, 1, 3]),
        ((0.9, 0.5, 0.5, 0.5), APART, [1, 2, 3, 4]),  # 0.45 is too little
        ((0.9, 0.9, 0.9, 0.9), ((0, 5), (0, 5), (5, 10), (6, 9)), [1, 2, 1, 2]),
        ((0.9, 0.9, 0.9, 0.9), ((0, 5), (4, 9), (8, 12), (20, 21)), [1, 2, 1, 1]),
    ],
)
def test_who_is_alike_and_never_together_is_one_person(
    cosines: tuple[float, ...], spans: tuple[tuple[int, int], ...], numbers: list[int]
) -> None:
    assert people(looks(*cosines), seen(*spans)) == numbers


def test_the_most_similar_are_joined_first() -> None:
    """The second face is like both others, who share a frame."""
    angles = np.radians([0, 40, 70])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], 1)
    assert people(embeddings, seen((0, 5), (5, 9), (0, 5))) == [1, 2, 2]


def test_a_face_of_many_frames_counts_more() -> None:
    """The third face is like the first alone, which a second one of a single frame hardly changes."""
    embeddings = np.linalg.cholesky(np.array([[1, 0.6, 0.55], [0.6, 1, 0.1], [0.55, 0.1, 1]]))
    assert people(embeddings, seen((0, 100), (100, 101), (101, 150))) == [1, 1, 1]
    assert people(embeddings, seen((0, 1), (1, 2), (2, 3))) == [1, 1, 2]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.integers(1, 4)), max_size=9))
def test_nobody_is_twice_in_a_frame_and_numbers_follow_each_other(faces: list[tuple[int, int, int]]) -> None:
    embeddings = np.eye(4)[[who for who, _, _ in faces]] if faces else np.zeros((0, 4))
    frames = seen(*((first, first + count) for _, first, count in faces))
    numbers = people(embeddings, frames)
    assert list(dict.fromkeys(numbers)) == list(range(1, len(set(numbers)) + 1))
    for one in range(len(faces)):
        for other in range(one):
            if numbers[one] == numbers[other]:
                assert faces[one][0] == faces[other][0]
                assert not np.isin(frames[one], frames[other]).any()


def test_without_weights_nobody_is_recognized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path))
    with caplog.at_level(logging.INFO):
        assert embed_faces([]) is None
    assert len(caplog.records) == 1
    assert f"{THIRD_PARTY['sface'].file} is missing in {tmp_path / 'weights'}" in caplog.text


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / THIRD_PARTY["sface"].file).write_bytes(b"cut off")
    with pytest.raises(WeightsError, match="not the published file"):
        embed_faces([])
