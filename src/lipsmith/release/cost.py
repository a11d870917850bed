"""Counts the parameters and multiply-accumulates (MAC) of networks, in convolutions and matrix products.

Networks run on torch's fake tensors, which have shapes only, so that counting takes no time and no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lipsmith.face.landmarks import NUM_POINTS, NUM_POSE
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import build_landmark_generator
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.models.vgg import VGG
from lipsmith.training.losses.renderer import DEEP, SHALLOW, face_window

PER_TARGET: Final = ("target_encoder", "alignment", "light", "masked_encoder", "lip_fusion", "audio", "decoder")


@dataclass(frozen=True)
class Part:
    """A part of a model and the cost of one run of it."""

    name: str
    per: str
    """The unit for which it runs once."""
    parameters: int
    macs: int


def shapes_alone() -> FakeTensorMode:
    """A context in which tensors have shapes but no content."""
    return FakeTensorMode()


def count_macs(run: Callable[[], object]) -> dict[str, int]:
    """MAC of `run` by module; `Global` is the sum. Call it within `shapes_alone`."""
    counter = FlopCounterMode(display=False)
    # The fused attention of CPUs is a single operator that the counter does not support.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        run()
    # The counter counts a multiply-accumulate as two operations.
    return {name: sum(counts.values()) // 2 for name, counts in counter.get_flop_counts().items()}


def renderer_cost(config: RendererConfig) -> list[Part]:
    """Parts of the renderer, for the config's number of references and lip references per target."""
    size = config.face_size
    with shapes_alone():
        network = Renderer(config).eval()
        inputs = _inputs(config)
        picture = torch.empty(1, 3, size, size), torch.empty(1, 1, size, size)
        macs = count_macs(lambda: network(*inputs))
        of_lip = count_macs(lambda: network.encode_lip(*picture))["Global"]  # with its part in the fusion
        parts = [
            Part("reference_encoder", "reference", *cost_of(network.reference_encoder, *picture)),
            Part("lip_encoder", "lip reference", parameters_of(network.lip_encoder), of_lip),
        ]
    of_target = [
        Part(name, "frame", parameters_of(getattr(network, name)), macs.get(f"Renderer.{name}", 0))
        for name in PER_TARGET
    ]
    total = sum(part.macs for part in of_target)
    return [*parts, *of_target, Part("render", "frame", parameters_of(network), total)]


def landmark_cost(config: LandmarkConfig) -> list[Part]:
    """The two stages of the landmark generator; the transformer's cost is divided by the frames of its window."""
    frames = config.window
    with shapes_alone():
        network = build_landmark_generator(config).eval()
        mel = torch.empty(1, 1, config.bands, 16)
        tokens, pose = torch.empty(1, frames, config.dim), torch.empty(1, frames, NUM_POSE, 2)
        references = torch.empty(1, config.references, NUM_POINTS, 2)
        parameters, macs = cost_of(network.transformer, tokens, pose, references)
        of_speech = cost_of(network.speech, mel)
    return [
        Part("speech", "frame", *of_speech),
        Part("landmarks", "frame", parameters, macs // frames),
    ]


def vgg_cost(config: RendererConfig) -> Part:
    """VGG-16 in training: it sees the faces of image, aligned references and truth of a target at two scales."""
    rows, size = config.face_size - config.top, config.face_size
    with shapes_alone():
        vgg = VGG("vgg16")
        whole = face_window(torch.empty(3, 3, rows, size))
        half = F.avg_pool2d(whole, 2)
        macs = count_macs(lambda: (vgg(whole, SHALLOW), vgg(half, DEEP)))["Global"]
    return Part("vgg16", "target in training", parameters_of(vgg), macs)


def _inputs(config: RendererConfig) -> list[Tensor]:
    """Inputs of `Renderer.forward` for one target."""
    size, k, m = config.face_size, config.references, config.lips
    shapes: list[tuple[int, ...]] = [
        (3, size, size),
        (config.sketches, size, size),
        (NUM_POINTS, 2),
        (2, 2),
        (1, 80, 16),
        (k, 3, size, size),
        (k, 1, size, size),
        (k, NUM_POINTS, 2),
        (k, 2, 2),
        (m, 3, size, size),
        (m, 1, size, size),
    ]
    return [torch.empty(1, *shape) for shape in shapes]


def cost_of(module: nn.Module, *inputs: Tensor) -> tuple[int, int]:
    """Parameters and MAC of a module on these inputs. Call it within `shapes_alone`."""
    return parameters_of(module), count_macs(lambda: module(*inputs))["Global"]


def parameters_of(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
