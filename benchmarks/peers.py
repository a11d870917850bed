"""Measures frames per second of our renderer, of Wav2Lip and of IP_LAP with 25 references, in one run, as ratios.

    python benchmarks/peers.py [--threads 2] [--rounds 5] [--references 25] [--width 1] [--json FILE]

All networks have random weights, published widths and single precision, and run on torch, one frame at a time; `onnx`
is the shipped model as a dub runs it, on one thread, in single precision too. A frame costs the speech encoder, the
landmark generator where the system has one, and the renderer; finding faces and pasting are left out. Rounds alternate
between the systems, and the median of the rounds counts. Ratios above 1 say that ours is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.config import load_config
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import find_model
from lipsmith.inference.onnx import OnnxBackend
from lipsmith.inference.render import encode_face, render
from lipsmith.inference.stages import make_stages
from lipsmith.inference.torch import TorchBackend
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import build_landmark_generator
from lipsmith.models.peers.config import IplapConfig, Wav2LipConfig
from lipsmith.models.peers.iplap import IplapRenderer, WarpedReferences
from lipsmith.models.peers.iplap_landmarks import REFERENCES, WINDOW, IplapLandmarks
from lipsmith.models.peers.wav2lip import SIZE, Wav2Lip
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.renderer.config import RendererTraining

Frame = Callable[[], object]
LANDMARK_SETS = 15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="time of each system in a round, at least one frame")
    parser.add_argument("--references", type=int, default=25, help="references of IP_LAP")
    parser.add_argument("--width", type=float, default=1.0, help="factor on the widths of Wav2Lip and IP_LAP")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with torch.inference_mode():
        figures = measured(systems(options.references, options.width), options.rounds, options.seconds)
    for name, value in figures.items():
        print(f"{name:40} {value:12.4g}")
    if options.json:
        settings = {key: value for key, value in vars(options).items() if key != "json"}
        options.json.write_text(json.dumps({"figures": figures, "settings": settings, "rows": []}, indent=1))


def systems(references: int, width: float) -> dict[str, Frame]:
    """One frame of each system."""
    face = load_config(RendererTraining, "renderer", "fast").model
    mouth = load_config(LandmarkTraining, "landmarks", "fast").model
    stages = make_stages(build_landmark_generator(mouth), Renderer(face))
    torch_backend = TorchBackend(stages, "cpu")
    onnx_backend = OnnxBackend(find_model("fast").path, "cpu")
    wav2lip = Wav2Lip(Wav2LipConfig(width=width)).eval()
    picture = torch.rand(1, 3, SIZE, SIZE)
    return {
        "ours": our_frame(torch_backend, face, mouth),
        "onnx": our_frame(onnx_backend, face, mouth),
        "wav2lip": partial(wav2lip, torch.rand(1, 1, 80, 16), picture, picture),
        **iplap(IplapConfig(width=width), references),
    }


def our_frame(backend: Backend, face: RendererConfig, mouth: LandmarkConfig) -> Frame:
    """One frame of a dub, with face and references in place; every window of the landmark generator holds one new
    frame."""
    random, size, count = np.random.default_rng(0), face.face_size, face.references
    crops = random.integers(0, 256, (1 + count, size, size, 3), np.uint8)
    points = random.uniform(0.3, 0.7, (1, 131, 2)).astype(np.float32).repeat(1 + count, 0)
    still = np.tile(np.array([[0.1, 0.9], [0.9, 0.9]], np.float32), (1 + count, 1, 1))
    encoded = encode_face(backend, crops[1:], points[1:], still[1:], np.arange(face.lips))
    sketches, mel = np.zeros((1, face.sketches, size, size), np.uint8), filled(1, 80, 16)
    tokens, pose = filled(1, mouth.window, mouth.dim), filled(1, mouth.window, 74, 2)
    shapes, ranks = filled(1, LANDMARK_SETS, 131, 2), np.arange(count)[None]

    def frame() -> object:
        backend("speech", mel=mel[:, None])
        backend("landmarks", tokens=tokens, pose=pose, references=shapes)
        return render(backend, encoded, crops[:1], points[:1], still[:1], sketches, mel, ranks)

    return frame


def iplap(config: IplapConfig, count: int) -> dict[str, Frame]:
    """IP_LAP as published, which computes all of its flow network for each reference of each frame, and with everything
    that references or frames share computed once."""
    network, landmarks = IplapRenderer(config).eval(), IplapLandmarks().eval()
    size = config.face_size
    images, sketches = torch.rand(1, count, 3, size, size), torch.rand(1, count, 1, size, size)
    target, drawn, mel = torch.rand(1, 3, size, size), torch.rand(1, 5, size, size), torch.rand(1, 1, 80, 16)
    spoken = torch.rand(1, WINDOW, 80, 16), torch.rand(1, WINDOW, 74, 2), torch.rand(1, REFERENCES, 131, 2)
    encoded = network.encode(images, sketches)

    def once() -> Tensor:
        landmarks(*spoken)
        image: Tensor = network(target, drawn, mel, encoded)[0]
        return image

    def published() -> Tensor:
        landmarks(*spoken)
        warped: WarpedReferences | None = None
        for one in range(count):
            part = slice(one, one + 1)
            # The weighted mean of what the references give costs nothing beside it.
            warped = network.align(network.encode(images[:, part], sketches[:, part]), drawn)
        assert warped is not None
        image: Tensor = network.translate(target, drawn, warped, mel)
        return image

    return {"iplap": published, "iplap_once": once}


def measured(frames: dict[str, Frame], rounds: int, seconds: float) -> dict[str, float]:
    """Frames per second of each system, and how many times faster ours is."""
    for frame in frames.values():
        frame()
    found: dict[str, list[float]] = {name: [] for name in frames}
    for _ in range(rounds):
        for name, frame in frames.items():
            found[name].append(rate(frame, seconds))
    fps = {name: statistics.median(rates) for name, rates in found.items()}
    face = load_config(RendererTraining, "renderer", "fast").model.face_size
    figures = {f"{name}.fps": value for name, value in fps.items()}
    for ours in ("ours", "onnx"):
        for name in ("wav2lip", "iplap", "iplap_once"):
            figures[f"{ours}_over_{name}"] = fps[ours] / fps[name]
        figures[f"{ours}_over_wav2lip_per_pixel"] = fps[ours] / fps["wav2lip"] * (face / SIZE) ** 2
    return figures


def rate(frame: Frame, seconds: float) -> float:
    """Frames per second over at least `seconds`."""
    began, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - began < seconds:
        frame()
        count += 1
    return count / (time.perf_counter() - began)


def filled(*shape: int) -> NDArray[np.float32]:
    """Random numbers in [0, 1)."""
    return np.random.default_rng(0).random(shape, np.float32)


if __name__ == "__main__":
    main()
