"""The patch discriminator of pix2pixHD ([31]): two scales, three layers, instance normalization, plus a detail
input."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DETAIL: Final = 8.0
"""Amplification of the image's detail in the input."""


class PatchDiscriminator(nn.Module):
    """One scale: maps an image to a map of real/fake scores, and returns the intermediate features.

    The input also contains the amplified difference of the image from its 3x3 mean: fakes made of real references
    differ mostly in this detail, and hundreds of steps do not find it from the image alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.Sequential(nn.Conv2d(6, channels, 4, 2, 2), nn.LeakyReLU(0.2))]
        for width, stride in ((channels, 2), (2 * channels, 2), (4 * channels, 1)):
            conv = nn.Conv2d(width, 2 * width, 4, stride, 2)
            stages.append(nn.Sequential(conv, nn.InstanceNorm2d(2 * width), nn.LeakyReLU(0.2)))
        stages.append(nn.Conv2d(8 * channels, 1, 4, 1, 2))
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """`(B, 3, H, W)` in [0, 1] to each stage's features; the last is the score map `(B, 1, h, w)`."""
        image = image * 2 - 1
        detail = image - F.avg_pool2d(F.pad(image, (1, 1, 1, 1), "replicate"), 3, 1)
        x, features = torch.cat([image, DETAIL * detail], 1), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class MultiScaleDiscriminator(nn.Module):
    """The same discriminator with separate weights at full and at half resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(channels) for _ in range(2))

    def forward(self, image: Tensor) -> list[list[Tensor]]:
        """`(B, 3, H, W)` in [0, 1] to the features of each scale."""
        full, half = self.scales
        return [full(image), half(F.avg_pool2d(image, 2))]
