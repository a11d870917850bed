"""Measures the time of stage 1 for a minute of speech, and the difference of ONNX Runtime from torch.

    python benchmarks/speak.py [--model fast] [--seconds 60] [--threads 2] [--json FILE]

The demo's voice over and over, for the demo's face at 25 frames a second: mel, speech tokens, every overlapping window.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lipsmith.face.crop import apply, fit_transforms  # noqa: E402
from lipsmith.face.landmarks import NUM_POSE, select  # noqa: E402
from lipsmith.face.tracker import FaceTracker  # noqa: E402
from lipsmith.inference.backend import Backend  # noqa: E402
from lipsmith.inference.model_folder import find_model  # noqa: E402
from lipsmith.inference.onnx import OnnxBackend  # noqa: E402
from lipsmith.inference.speak import predict_content  # noqa: E402
from lipsmith.inference.torch import load_torch_backend  # noqa: E402
from lipsmith.speech.mel import mel_spectrogram  # noqa: E402
from synthetic import speech  # noqa: E402

FPS = 25
REFERENCES = 15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fast", help="name or folder")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = find_model(options.model)
    wave, points = speech(options.seconds), demo_points(round(options.seconds * FPS))
    figures: dict[str, float] = {}
    said = {}
    for name, backend in (
        ("onnx", OnnxBackend(folder.path, "cpu")),
        ("torch", load_torch_backend(folder.path, "cpu", options.threads)),
    ):
        predict(backend, wave[: len(wave) // 20], points[: len(points) // 20], folder.config["window"])
        began = time.perf_counter()
        said[name] = predict(backend, wave, points, folder.config["window"])
        figures[f"{name}.seconds"] = time.perf_counter() - began
    figures["difference"] = float(np.abs(said["onnx"] - said["torch"]).max())
    for name, value in figures.items():
        print(f"{name:16} {value:12.3g}")
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "settings": vars(options)}, default=str, indent=2))


def predict(
    backend: Backend, wave: NDArray[np.float32], points: NDArray[np.float32], window: int
) -> NDArray[np.float32]:
    """Content of every frame, from samples."""
    times = np.arange(len(points)) / FPS
    return predict_content(backend, mel_spectrogram(wave), times, points[:, :NUM_POSE], points[:REFERENCES], window)


def demo_points(frames: int) -> NDArray[np.float32]:
    """The demo's face `(frames, 131, 2)` in crop units, with a small jitter."""
    import cv2

    image = cv2.imread(str(ROOT / "demo" / "face.png"))
    assert image is not None
    (face,) = FaceTracker().track(np.ascontiguousarray(image[..., ::-1])).faces
    points = select(face.mesh)[None]
    still = apply(fit_transforms(points), points)
    return np.asarray(still + 0.002 * np.random.default_rng(0).standard_normal((frames, 131, 2)), np.float32)


if __name__ == "__main__":
    main()
