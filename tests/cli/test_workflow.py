"""The complete research workflow on synthetic footage: prepare, train both networks, export, and dub.

An export takes most of a minute, so its ONNX stages are tested here, on the same model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pytest

from lipsmith.cli import main
from lipsmith.inference.model_folder import find_model, load_backend
from lipsmith.inference.onnx import OnnxBackend
from lipsmith.media import read_frames
from synthetic import FACE, Motion, make_film, speech

pytest.importorskip("onnxscript")
torch = pytest.importorskip("torch")

from lipsmith.inference.stages import load_stages  # noqa: E402
from lipsmith.models.landmarks.config import LandmarkConfig  # noqa: E402
from lipsmith.models.renderer.config import RendererConfig  # noqa: E402
from lipsmith.release.export import OUTPUTS, example, stage_axes  # noqa: E402

# On a busy machine the export alone may take longer than the limit of other tests.
pytestmark = pytest.mark.timeout(900)

LANDMARKS: Final = """
steps = 3
batch = 4
warmup = 1
learning_rate = 1e-2
validate_every = 3
[model]
dim = 16
layers = 1
heads = 2
feed_forward = 16
window = 7
references = 4
speech_channels = [4, 4, 4, 4, 4]
speech_residuals = 0
points = "perceptron"
point_channels = [16]
"""
RENDERER: Final = """
steps = 3
clips = 2
targets = 2
pool = 3
warmup = 1
learning_rate = 1e-2
gan_from = 2.0
validate_every = 3
[weights]
warped = 0.0
content = 0.0
style = 0.0
[model]
face_size = 64
top = 24
full = 4
fine = 4
coarse = 8
references = 2
lips = 2
"""


def lipsmith(*words: str | Path) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `footage` of three people, and `mine`, the model trained on it."""
    root = tmp_path_factory.mktemp("walk")
    for split, person, shift in (("train", "anna", 0.02), ("train", "ben", 0.04), ("val", "carla", 0.03)):
        (root / "footage" / split).mkdir(parents=True, exist_ok=True)
        film = root / "footage" / split / f"{person}_1.mp4"
        make_film(film, 2.4, motion=Motion(shift=shift, turn=3.0), audio=speech(2.4))
    for name, text in (("landmarks", LANDMARKS), ("renderer", RENDERER)):
        (root / f"{name}.toml").write_text(text)
    data, runs = root / "data", root / "runs"
    lipsmith("prepare", root / "footage", data, "--side", "64", "--workers", "1")
    for network in ("landmarks", "renderer"):
        config, run = root / f"{network}.toml", runs / network
        lipsmith("train", network, config, "--data", data, "--out", run, "--device", "cpu")
    trained = ("--landmarks", runs / "landmarks", "--renderer", runs / "renderer")
    lipsmith("export", *trained, "-o", root / "mine", "--license", "For tests.")
    return root


@pytest.fixture(scope="module")
def model(workplace: Path) -> Path:
    return workplace / "mine"


def test_footage_is_prepared_trained_on_and_dubbed(workplace: Path, model: Path, tmp_path: Path) -> None:
    dubbed = tmp_path / "dubbed.mp4"
    lipsmith("dub", FACE, workplace / "footage" / "val" / "carla_1.mp4", "-o", dubbed, "--model", model)
    frames = [frame.image for frame in read_frames(dubbed)]
    assert len(frames) == 60
    portrait = next(iter(read_frames(FACE))).image
    change = np.abs(np.stack(frames).astype(int) - portrait).mean((0, 3))
    assert change[130:165, 110:155].max() > 30  # the mouth
    assert change[:100].mean() < 3  # all above it, except for the codec


def test_the_exported_folder_is_a_valid_model(model: Path) -> None:
    found = find_model(model)
    assert {f"{stage}.onnx" for stage in OUTPUTS} | {"model.safetensors"} == set(found.config["files"])
    named = {key: found.config[key] for key in ("name", "face_size", "references_per_frame", "lips", "window", "drive")}
    assert named == {"name": "mine", "face_size": 64, "references_per_frame": 2, "lips": 2, "window": 7, "drive": 1.1}


@pytest.mark.parametrize("stage", OUTPUTS)
@pytest.mark.parametrize("count", [1, 2, 6])
def test_onnx_equals_torch_at_any_size(model: Path, stage: str, count: int) -> None:
    found = find_model(model)
    backend = load_backend(found, "cpu", 1)
    assert isinstance(backend, OnnxBackend)
    mouth, face = LandmarkConfig(**found.config["landmarks"]), RendererConfig(**found.config["renderer"])
    inputs = example(stage_axes(mouth, face)[stage], dict.fromkeys("nbTNkm", count))
    with torch.no_grad():
        expected = load_stages(model)[stage](**inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    given = backend(stage, **{name: value.numpy() for name, value in inputs.items()})
    assert len(given) == len(expected) == len(OUTPUTS[stage])
    for ours, theirs in zip(given, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), theirs, atol=1e-4, rtol=1e-3)


def test_exported_files_contain_no_local_paths(model: Path) -> None:
    package = str(Path(torch.__file__).parent).encode()
    assert not [file.name for file in model.glob("*.onnx") if package in file.read_bytes()]
