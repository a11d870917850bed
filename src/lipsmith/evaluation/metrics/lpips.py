"""Learned perceptual distance of pictures (LPIPS) and its features.

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric" (2018), version 0.1: features of
an ImageNet network after each ReLU block, unit-normalized over channels, squared difference, weighted by a learned
head, mean over space, sum over blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from lipsmith.evaluation.systems import REAL
from lipsmith.models.third_party import third_party
from lipsmith.models.vgg import VGG, WIDTHS

Trunk = Literal["alexnet", "vgg16"]
_SHIFT: Final = (-0.030, -0.088, -0.188)
_SCALE: Final = (0.458, 0.448, 0.450)
_AT_ONCE: Final = 8


class Lpips(nn.Module):
    """LPIPS with its trunk, frozen. `load_lpips` loads the weights."""

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        layers, self.taps = _alexnet() if trunk == "alexnet" else _vgg16()
        self.features = nn.Sequential(*layers)
        widths = (64, 192, 384, 256, 256) if trunk == "alexnet" else WIDTHS
        for block, width in enumerate(widths):
            self.add_module(f"lin{block}", nn.Conv2d(width, 1, 1, bias=False))
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def blocks(self, images: Tensor) -> list[Tensor]:
        """Features of RGB `(B, 3, H, W)` in [-1, 1] after each of the five ReLU blocks."""
        x = (images - self.shift) / self.scale
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found

    def compare(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Distances `(B,)` of features after `units`; lower is better, 0 for identical pictures."""
        total = torch.zeros(len(a[0]), device=a[0].device)
        for block, (left, right) in enumerate(zip(a, b, strict=True)):
            head = self.get_submodule(f"lin{block}")
            total += head((left - right) ** 2).mean((1, 2, 3))
        return total

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `(B,)` of RGB `(B, 3, H, W)` in [-1, 1]."""
        return self.compare(units(self.blocks(a)), units(self.blocks(b)))


def load_lpips(trunk: Trunk, path: Path | None = None) -> Lpips:
    """LPIPS with its published weights, from `path` or the third-party weights. Raises WeightsError if missing."""
    tensors = load_file(path or third_party(f"lpips_{trunk}"))
    network = Lpips(trunk)
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    return network


@dataclass(frozen=True)
class Perceived:
    """A network's output for one system's pictures."""

    distances: NDArray[np.float64]
    """(B,) LPIPS from the real pictures."""
    features: NDArray[np.float64]
    """(B, C) the last block, mean over space, for a Fréchet distance."""


@torch.no_grad()
def lpips(network: Lpips, real: NDArray[np.uint8], systems: Mapping[str, NDArray[np.uint8]]) -> dict[str, Perceived]:
    """LPIPS of each system's pictures `(B, H, W, 3)`, RGB 0..255, from the real ones; also includes `real` itself.

    All systems are computed together, so that the real pictures pass through the network once.
    """
    everything = {REAL: real, **systems}
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in everything}
    for start in range(0, len(real), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        truth = network.blocks(signed(real[part]))
        expected = units(truth)
        for name, pictures in everything.items():
            blocks = truth if name == REAL else network.blocks(signed(pictures[part]))
            found[name].append((network.compare(units(blocks), expected), blocks[-1].mean((2, 3))))
    return {name: _joined(parts) for name, parts in found.items()}


def _joined(parts: list[tuple[Tensor, Tensor]]) -> Perceived:
    distances, features = (torch.cat(tensors).double().numpy() for tensors in zip(*parts, strict=True))
    return Perceived(distances, features)


def signed(images: NDArray[np.uint8]) -> Tensor:
    """Pictures `(B, H, W, 3)` in 0..255 as `(B, 3, H, W)` in [-1, 1]."""
    return rearrange(torch.from_numpy(images), "b h w c -> b c h w").float() / 127.5 - 1


def units(blocks: list[Tensor]) -> list[Tensor]:
    """Features `(B, C, h, w)` divided by their norm over channels."""
    return [features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10) for features in blocks]


def _alexnet() -> tuple[list[nn.Module], tuple[int, ...]]:
    layers: list[nn.Module] = [
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU()),
    ]
    return layers, (1, 4, 7, 9, 11)


def _vgg16() -> tuple[list[nn.Module], tuple[int, ...]]:
    layers = list(VGG("vgg16").features)
    ends = [place for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    return layers, tuple(end - 1 for end in (*ends, len(layers)))
