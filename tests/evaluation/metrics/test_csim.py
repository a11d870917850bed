"""Identity: a face is similar to itself in other light; similarity by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harmed_pictures import Crops, textured
from lipsmith.evaluation.metrics.csim import csim
from lipsmith.inference.people import FaceRecognizer


def test_a_face_is_similar_to_itself_in_other_light_and_not_to_a_texture(
    weights: Path, portrait: tuple[Crops, NDArray[np.float32]]
) -> None:
    picture, mesh = portrait
    recognizer = FaceRecognizer(weights / "sface_int8.onnx")
    real = recognizer(picture, mesh * 256)
    dark = recognizer((picture * 0.7).astype(np.uint8), mesh * 256)
    texture = recognizer(textured(1, 256), mesh * 256)
    assert csim(real, real)[0] == pytest.approx(1)
    assert csim(dark, real)[0] > 0.8 > 0.5 > csim(texture, real)[0]


def test_a_face_is_compared_with_the_mean_of_the_real_ones() -> None:
    real = np.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(csim(np.array([[1.0, 0.0], [0.5**0.5, 0.5**0.5]]), real), [0.5**0.5, 1])
