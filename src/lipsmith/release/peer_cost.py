"""Parameters and multiply-accumulates of the systems that Table 1 compares with."""

from __future__ import annotations

import torch

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
        one, every = (_frame(network, count) for count in (1, references))
        landmarks = _landmarks()
    translation = one["IplapRenderer.translate"]
    flow = one["Global"] - translation
    whole = parameters_of(network)
    return [
        Part("flow", "reference", parameters_of(network.align), flow),
        Part("translation", "frame", parameters_of(network.translate), translation),
        Part("render", "frame", whole, references * flow + translation),
        Part("render_once", "frame", whole, every["IplapRenderer"]),
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


def _frame(network: IplapRenderer, count: int) -> dict[str, int]:
    """MAC of the encoding of `count` references (in `Global` alone) and of a frame (`IplapRenderer`), by module."""
    size, drawn = network.config.face_size, 2 * network.config.neighbors + 1
    images, sketches = torch.empty(1, count, 3, size, size), torch.empty(1, count, 1, size, size)
    target, around, mel = torch.empty(1, 3, size, size), torch.empty(1, drawn, size, size), torch.empty(1, 1, 80, 16)
    return count_macs(lambda: network(target, around, mel, network.encode(images, sketches)))
