"""Parameters and multiply-accumulates of the systems that Table 1 compares with."""

from __future__ import annotations

import torch
from torch import Tensor

from lipsmith.face.landmarks import NUM_POINTS, NUM_POSE
from lipsmith.models.peers import iplap_landmarks
from lipsmith.models.peers.config import IplapConfig, Wav2LipConfig
from lipsmith.models.peers.iplap import IplapRenderer
from lipsmith.models.peers.iplap_landmarks import IplapLandmarks
from lipsmith.models.peers.wav2lip import SIZE, Wav2Lip
from lipsmith.release.cost import Part, cost_of, count_macs, parameters_of, shapes_alone


def wav2lip_cost(config: Wav2LipConfig) -> list[Part]:
    """The generator, once per frame of 96 pixels."""
    with shapes_alone():
        picture = torch.empty(1, 3, SIZE, SIZE)
        return [Part("render", "frame", *cost_of(Wav2Lip(config).eval(), torch.empty(1, 1, 80, 16), picture, picture))]


def iplap_cost(config: IplapConfig, references: int) -> list[Part]:
    """Flow, translation, their sum for a frame with `references`, and the landmark generator.

    As published, `render` computes everything for each reference again. `render_once` is what this code computes for a
    frame: references are encoded beforehand, and the target's modulation is shared by all references.
    """
    with shapes_alone(), torch.no_grad():
        network = IplapRenderer(config).eval()
        inputs, encoded = _inputs(config), network.encode(*_references(config, references))
        encoding = count_macs(lambda: network.encode(*_references(config, 1)))["Global"]
        once = count_macs(lambda: network(*inputs, encoded))["Global"]
        one = network.encode(*_references(config, 1))
        counts = count_macs(lambda: network(*inputs, one))
        landmarks = _landmarks()
    flow = encoding + counts["IplapRenderer.align"]
    translation = counts["IplapRenderer.translate"]
    whole = parameters_of(network)
    return [
        Part("flow", "reference", parameters_of(network.align), flow),
        Part("translation", "frame", parameters_of(network.translate), translation),
        Part("render", "frame", whole, references * flow + translation),
        Part("render_once", "frame", whole, once),
        landmarks,
    ]


def _landmarks() -> Part:
    """The landmark generator, whose published widths are fixed."""
    frames = iplap_landmarks.WINDOW
    inputs = (
        torch.empty(1, frames, 80, 16),
        torch.empty(1, frames, NUM_POSE, 2),
        torch.empty(1, iplap_landmarks.REFERENCES, NUM_POINTS, 2),
    )
    return Part("landmarks", f"window of {frames} frames", *cost_of(IplapLandmarks().eval(), *inputs))


def _inputs(config: IplapConfig) -> tuple[Tensor, Tensor, Tensor]:
    size, drawn = config.face_size, 2 * config.neighbours + 1
    return torch.empty(1, 3, size, size), torch.empty(1, drawn, size, size), torch.empty(1, 1, 80, 16)


def _references(config: IplapConfig, count: int) -> tuple[Tensor, Tensor]:
    size = config.face_size
    return torch.empty(1, count, 3, size, size), torch.empty(1, count, 1, size, size)
