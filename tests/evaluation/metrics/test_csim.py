"""Identity: a face is its own in other light, and the embeddings are those of OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from harmed_pictures import Crops, textured
from lipsmith.evaluation.metrics.csim import Recognizer, _alignment, csim, five_points
from lipsmith.face import FaceTracker
from synthetic import face_at


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights"


@pytest.fixture(scope="module")
def face() -> tuple[Crops, NDArray[np.float32]]:
    picture = face_at(0.0, (256, 256))
    mesh = FaceTracker().track(picture).faces[0].mesh
    return picture[None], mesh[None] / 256


def test_a_face_is_its_own_in_other_light_and_not_a_texture(
    weights: Path, face: tuple[Crops, NDArray[np.float32]]
) -> None:
    picture, mesh = face
    recognizer = Recognizer(weights / "sface_int8.onnx")
    real = recognizer(picture, mesh * 256)
    dark = recognizer((picture * 0.7).astype(np.uint8), mesh * 256)
    texture = recognizer(textured(1, 256), mesh * 256)
    assert csim(real, real)[0] == pytest.approx(1)
    assert csim(dark, real)[0] > 0.8 > 0.5 > csim(texture, real)[0]


def test_embeddings_are_those_of_opencvs_recognizer(weights: Path, face: tuple[Crops, NDArray[np.float32]]) -> None:
    picture, mesh = face
    theirs = cv2.FaceRecognizerSF.create(str(weights / "sface_int8.onnx"), "")
    aligned = cv2.warpAffine(picture[0], _alignment(five_points(mesh[0] * 256)), (112, 112))
    expected = theirs.feature(cv2.cvtColor(aligned, cv2.COLOR_RGB2BGR))[0]
    found = Recognizer(weights / "sface_int8.onnx")(picture, mesh * 256)[0]
    assert found @ expected / np.linalg.norm(expected) > 0.999


def test_five_points_are_eyes_nose_and_mouth(face: tuple[Crops, NDArray[np.float32]]) -> None:
    points = five_points(face[1][0])
    right_eye, left_eye, nose, right_corner, left_corner = points
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_corner[0] < left_corner[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_corner[1], left_corner[1])
