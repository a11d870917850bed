"""VGG features of pictures, for the perceptual and style losses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from lipsmith.errors import WeightsError
from lipsmith.models.third_party import third_party

# Convolutions in each of the five stages, which 2x2 max pooling separates.
DEPTHS: Final = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
WIDTHS: Final = (64, 128, 256, 512, 512)
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class VGG(nn.Module):
    """relu1_1, relu2_1, ... of the published network, frozen; input is RGB in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, kind: str = "vgg16") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        taps: list[int] = []
        channels = 3
        for stage, (depth, width) in enumerate(zip(DEPTHS[kind], WIDTHS, strict=True)):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for conv in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
                if conv == 0:
                    taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.taps = tuple(taps)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Tensor, stages: Sequence[int] = (1, 2, 3, 4, 5)) -> list[Tensor]:
        """RGB `(B, 3, H, W)` in [0, 1] to relu`n`_1 for each n of `stages`, `(B, C_n, H/2^(n-1), W/2^(n-1))`."""
        wanted = [self.taps[stage - 1] for stage in stages]
        x = (image - self.mean) / self.std
        features = []
        for index in range(max(wanted) + 1):
            x = self.features[index](x)
            if index in wanted:
                features.append(x)
        return features


def find_vgg() -> tuple[Path, str]:
    """The third-party weights of VGG-19 if they are found, else of VGG-16, and the kind. Raises WeightsError without
    both."""
    with suppress(WeightsError):
        return third_party("vgg19"), "vgg19"
    return third_party("lpips_vgg16"), "vgg16"


def load_vgg(path: Path, kind: str = "vgg16") -> VGG:
    """A VGG with the published weights in `path` (keys `features.N.weight`, `features.N.bias`), safetensors or .pth."""
    from safetensors.torch import load_file

    vgg = VGG(kind)
    content = torch.load(path, "cpu", weights_only=True) if path.suffix == ".pth" else load_file(path)
    weights = {name: value.float() for name, value in content.items() if name.startswith("features.")}
    vgg.load_state_dict({name: weights[name] for name in vgg.state_dict()})
    return vgg.eval()
