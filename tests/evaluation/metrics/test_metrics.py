"""Metrics that rest on networks or features: perfect for equal pictures, moved the right way by what harms."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harmed_pictures import blurred, noisy, shifted, textured
from lipsmith.errors import WeightsError
from lipsmith.evaluation.metrics.csim import Recognizer, _alignment, csim, five_points
from lipsmith.evaluation.metrics.frechet import Moments, frechet
from lipsmith.evaluation.metrics.lpips import Lpips, load_lpips, lpips
from lipsmith.evaluation.metrics.mfcc import mfcc
from lipsmith.face import FaceTracker
from synthetic import face_at

Crops = NDArray[np.uint8]


HARMS = {"blur": blurred, "noise": noisy}


def reference_lpips(weights: dict[str, torch.Tensor], trunk: str, a: Crops, b: Crops) -> float:
    """The definition, written out with functional calls alone."""
    from torch.nn.functional import conv2d, max_pool2d, relu

    plans = {
        "alexnet": [("0", 4, 2, 0), ("3", 1, 2, 3), ("6", 1, 1, 3), ("8", 1, 1, 0), ("10", 1, 1, 0)],
        "vgg16": [
            *[("0", 1, 1, 0), ("2", 1, 1, 0), ("5", 1, 1, 2), ("7", 1, 1, 0), ("10", 1, 1, 2), ("12", 1, 1, 0)],
            *[("14", 1, 1, 0), ("17", 1, 1, 2), ("19", 1, 1, 0), ("21", 1, 1, 0), ("24", 1, 1, 2)],
            *[("26", 1, 1, 0), ("28", 1, 1, 0)],
        ],
    }
    taps = {"alexnet": ["0", "3", "6", "8", "10"], "vgg16": ["2", "7", "14", "21", "28"]}[trunk]
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    pair = torch.from_numpy(np.stack([a, b])).permute(0, 3, 1, 2).float() / 127.5 - 1
    x, total = (pair - shift) / scale, 0.0
    for name, stride, padding, pool in plans[trunk]:
        if pool:
            x = max_pool2d(x, pool, 2)
        weight, bias = weights[f"features.{name}.weight"].float(), weights[f"features.{name}.bias"].float()
        x = relu(conv2d(x, weight, bias, stride, padding))
        if name in taps:
            unit = x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
            head = weights[f"lin{taps.index(name)}.weight"].float()[0, :, 0, 0]
            total += float(((unit[0] - unit[1]).pow(2) * head[:, None, None]).sum(0).mean())
    return total


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights"


@pytest.mark.parametrize(("trunk", "file"), [("alexnet", "lpips_alexnet"), ("vgg16", "lpips_vgg16_fp16")])
def test_lpips_equals_an_independent_implementation(weights: Path, trunk: str, file: str) -> None:
    from safetensors.torch import load_file

    path = weights / f"{file}.safetensors"
    random = np.random.default_rng(0)
    a, b = random.integers(0, 256, (2, 1, 64, 64, 3), dtype=np.uint8)
    found = lpips(load_lpips(trunk, path), a, {"other": b})  # type: ignore[arg-type]
    assert found["other"].distances[0] == pytest.approx(reference_lpips(load_file(path), trunk, a[0], b[0]), abs=1e-4)
    assert found["real"].distances[0] == 0


def test_lpips_grows_with_harm(weights: Path) -> None:
    network = load_lpips("alexnet", weights / "lpips_alexnet.safetensors")
    real = textured()
    systems = {f"{name}{size}": harm(real, size) for name, harm in HARMS.items() for size in (2, 6)}
    found = lpips(network, real, {**systems, "shift1": shifted(real, 1), "shift6": shifted(real, 6)})
    assert (found["blur2"].distances < found["blur6"].distances).all()
    assert (found["noise2"].distances < found["noise6"].distances).all()
    assert (found["shift1"].distances < found["shift6"].distances).all()


def test_lpips_without_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="lpips_alexnet"):
        load_lpips("alexnet")


def test_lpips_blocks_are_the_trunks() -> None:
    blocks = Lpips("vgg16").blocks(torch.zeros(1, 3, 32, 32))
    assert [tuple(block.shape[1:]) for block in blocks] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2),
    ]  # fmt: skip


def moments(values: NDArray[np.float64]) -> Moments:
    found = Moments(values.shape[1])
    for part in np.array_split(values, 3):
        found.add(part)
    return found


def test_frechet_of_gaussians_by_hand() -> None:
    """Diagonal covariances: sum of (m - m')^2 + (s - s')^2."""
    base = np.random.default_rng(0).normal(size=(500, 3))
    base = (base - base.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T)).T)
    other = base * (2, 1, 3) + (1, 0, 0)
    assert frechet(moments(base), moments(other)) == pytest.approx(1 + 1 + 0 + 4, abs=1e-6)
    assert frechet(moments(base), moments(base)) == pytest.approx(0, abs=1e-6)


def test_moments_are_numpys() -> None:
    values = np.random.default_rng(2).normal(size=(40, 4))
    np.testing.assert_allclose(moments(values).covariance, np.cov(values.T))


def test_frechet_of_one_picture_is_unknown() -> None:
    assert np.isnan(frechet(moments(np.ones((1, 2))), moments(np.ones((4, 2)))))


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


def test_mfcc_of_silence_and_of_a_tone() -> None:
    """100 steps a second; loudness in the zeroth coefficient: ten times the amplitude is 2 ln 10 more."""
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    quiet, loud = mfcc(1000 * tone), mfcc(10000 * tone)
    assert quiet.shape == (99, 13)
    np.testing.assert_allclose((loud - quiet)[5:-5, 0], 2 * np.log(10), atol=1e-6)
    np.testing.assert_allclose(loud[5:-5, 1:], quiet[5:-5, 1:], atol=1e-6)
    assert np.isfinite(mfcc(np.zeros(16000))).all()
