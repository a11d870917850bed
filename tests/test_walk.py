"""The complete research workflow on synthetic footage: prepare, train both networks, export, and dub."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pytest

from lipsmith.cli import main
from lipsmith.media import read_frames
from synthetic import FACE, Motion, make_film, speech

for package in ("torch", "onnxscript"):
    pytest.importorskip(package)

LANDMARKS: Final = """
steps = 3
batch = 4
warmup = 1
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


def test_from_footage_to_a_dub_with_a_model_of_ones_own(tmp_path: Path) -> None:
    for split, person, shift in (("train", "anna", 0.02), ("train", "ben", 0.04), ("val", "carla", 0.03)):
        (tmp_path / "footage" / split).mkdir(parents=True, exist_ok=True)
        film = tmp_path / "footage" / split / f"{person}_1.mp4"
        make_film(film, 2.4, motion=Motion(shift=shift, turn=3.0), audio=speech(2.4))
    for name, text in (("landmarks", LANDMARKS), ("renderer", RENDERER)):
        (tmp_path / f"{name}.toml").write_text(text)
    data, model, dubbed = tmp_path / "data", tmp_path / "mine", tmp_path / "dubbed.mp4"
    lipsmith("prepare", tmp_path / "footage", data, "--size", "64", "--workers", "1")
    for network in ("landmarks", "renderer"):
        run = tmp_path / "runs" / network
        lipsmith("train", network, tmp_path / f"{network}.toml", "--data", data, "--out", run, "--device", "cpu")
    lipsmith(
        *("export", "--landmarks", tmp_path / "runs" / "landmarks", "--renderer", tmp_path / "runs" / "renderer"),
        *("-o", model, "--license", "For tests."),
    )
    lipsmith("dub", FACE, tmp_path / "footage" / "val" / "carla_1.mp4", "-o", dubbed, "--model", model)
    frames = [frame.image for frame in read_frames(dubbed)]
    assert len(frames) == 60
    portrait = next(iter(read_frames(FACE))).image
    change = np.abs(np.stack(frames).astype(int) - portrait).mean((0, 3))
    assert change[130:165, 110:155].max() > 30  # the mouth
    assert change[:100].mean() < 3  # all above it, but for the codec
