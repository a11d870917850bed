"""Wav2Lip's generator: a U-Net over the masked target and one reference, with the speech at its bottleneck.

Prajwal et al., "A lip sync expert is all you need for speech to lip generation in the wild" (ACM MM 2020).
"""

from __future__ import annotations

from typing import Final

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.blocks import NormResidual, conv_norm
from lipsmith.models.mel_encoder import MelEncoder
from lipsmith.models.peers.config import Wav2LipConfig, scaled

SIZE: Final = 96
"""Side of its pictures, pixels."""
TOKEN: Final = 512
_ENCODER: Final = ((32, 2), (64, 3), (128, 2), (256, 2), (512, 1))
"""Channels and residual convolutions of the levels from 48 to 3 pixels."""
_DECODER: Final = ((512, 2), (384, 2), (256, 2), (128, 2), (64, 2))
"""The same from 6 to 96 pixels."""
RESIDUALS: Final = (2, 2, 2, 1)
"""Residual convolutions of the speech encoder, which IP_LAP shares."""


class Wav2Lip(nn.Module):
    """The generator, without sketches or landmarks: lips come from the speech alone."""

    def __init__(self, config: Wav2LipConfig) -> None:
        super().__init__()
        first, deep, token = (scaled(channels, config.width) for channels in (16, 512, TOKEN))
        down = [(scaled(channels, config.width), count) for channels, count in _ENCODER]
        up = [(scaled(channels, config.width), count) for channels, count in _DECODER]
        self.speech = speech_encoder(config.width)
        self.encoder = nn.ModuleList([conv_norm(6, first, padding=3, kernel=7)])
        width = first
        for channels, count in down:
            self.encoder.append(nn.Sequential(conv_norm(width, channels, 2), *_residuals(channels, count)))
            width = channels
        self.encoder.append(nn.Sequential(conv_norm(width, deep, padding=0), conv_norm(deep, deep, 1, 0, 1)))
        skips = [deep, *(channels for channels, _ in reversed(down)), first]
        self.decoder = nn.ModuleList([conv_norm(token, deep, 1, 0, 1)])
        self.decoder.append(nn.Sequential(_enlarge(deep + skips[0], deep, first=True), *_residuals(deep, 1)))
        width = deep
        for (channels, count), skip in zip(up, skips[1:], strict=False):
            self.decoder.append(nn.Sequential(_enlarge(width + skip, channels), *_residuals(channels, count)))
            width = channels
        last = scaled(32, config.width)
        self.head = nn.Sequential(conv_norm(width + first, last), nn.Conv2d(last, 3, 1))

    def forward(self, mel: Tensor, masked: Tensor, reference: Tensor) -> Tensor:
        """The whole face `(b, 3, 96, 96)` in [0, 1].

        mel: `(b, 1, 80, 16)` in [-4, 4]. masked: the target `(b, 3, 96, 96)` in [0, 1] with a black lower half.
        reference: another frame of the person, in the same shape.
        """
        x, features = torch.cat([masked, reference], 1), []
        for level in self.encoder:
            x = level(x)
            features.append(x)
        x = rearrange(self.speech(mel), "b c -> b c 1 1")
        for level in self.decoder:
            x = torch.cat([level(x), features.pop()], 1)
        return torch.sigmoid(self.head(x))


def generate(network: Wav2Lip, targets: Tensor, references: Tensor, mel: Tensor) -> Tensor:
    """Whole faces `(b, 3, S, S)` for targets and references of that shape, resized to 96 pixels and back.

    Pictures are in [0, 1]; the lower halves of the targets do not matter. mel: `(b, 1, 80, 16)` in [-4, 4].
    """
    size = targets.shape[-1]
    masked = targets.clone()
    # Before resizing, which would carry a row of the original mouth over the middle.
    masked[..., size // 2 :, :] = 0
    faces = network(mel, _resized(masked, SIZE), _resized(references, SIZE))
    return _resized(faces.float(), size)


def speech_encoder(width: float) -> nn.Module:
    """The speech encoder of both systems: mel windows `(n, 1, 80, 16)` to tokens `(n, 512)`, of scaled width."""
    a, b, c, d, e = (scaled(channels, width) for channels in (32, 64, 128, 256, TOKEN))
    return nn.Sequential(MelEncoder((a, b, c, d, e), e, RESIDUALS), nn.ReLU())


def _residuals(channels: int, count: int) -> list[nn.Module]:
    return [NormResidual(channels) for _ in range(count)]


def _enlarge(channels_in: int, channels_out: int, *, first: bool = False) -> nn.Sequential:
    """Twice the resolution by a transposed convolution; the first one makes 3x3 of 1x1."""
    stride, padding, more = (1, 0, 0) if first else (2, 1, 1)
    conv = nn.ConvTranspose2d(channels_in, channels_out, 3, stride, padding, more, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU())


def _resized(pictures: Tensor, size: int) -> Tensor:
    return F.interpolate(pictures, (size, size), mode="bilinear", antialias=True, align_corners=False)
