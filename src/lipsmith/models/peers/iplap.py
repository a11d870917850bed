"""IP_LAP's renderer: references are flowed onto the target's sketches, then translated into the face.

Zhong et al., "Identity-preserving talking face generation with landmark and appearance priors" (CVPR 2023). Flows are
in pixels of the crop, and zero flow is the identity, which it is not in the published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from einops import repeat
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.blocks import conv_norm, flat, grouped
from lipsmith.models.peers.config import IplapConfig, scaled
from lipsmith.models.peers.modulation import adain, spade
from lipsmith.models.peers.wav2lip import TOKEN, speech_encoder
from lipsmith.models.renderer.flow import positions, region_grid, warp

FULL, HALF, HIDDEN = 32, 256, 256
"""Published channels at full and at half resolution, and inside SPADE."""
BOTTLENECK: Final = 128
"""Published channels inside AdaIN."""
_EPSILON: Final = 1e-5


@dataclass(frozen=True)
class EncodedReferences:
    """k references of each of b targets."""

    images: Tensor
    """(b, k, 3, S, S) in [0, 1]."""
    full: Tensor
    """(b, k, c1, S, S)."""
    half: Tensor
    """(b, k, c2, S/2, S/2)."""


@dataclass(frozen=True)
class WarpedReferences:
    """The weighted means of the flowed references."""

    image: Tensor
    """(b, 3, S, S)."""
    full: Tensor
    """(b, c1, S, S)."""
    half: Tensor
    """(b, c2, S/2, S/2)."""


class FlowNet(nn.Module):
    """Flow and weight of every reference from its picture, its sketch and the target's sketches."""

    grid1: Tensor
    grid2: Tensor

    def __init__(self, config: IplapConfig) -> None:
        super().__init__()
        full, half, hidden = (scaled(channels, config.width) for channels in (FULL, HALF, HIDDEN))
        self.size, self.copies = config.face_size, config.sketch_channels
        self.encode_full = conv_norm(3 + self.copies, full, padding=3, kernel=7)
        self.encode_half = conv_norm(full, half, 2)
        self.blocks = nn.ModuleList([spade(half, config.sketches, hidden) for _ in range(2)])
        self.up = nn.PixelShuffle(2)
        self.last = spade(half // 4, config.sketches, hidden)
        self.flow = nn.Conv2d(half // 4, 2, 7, 1, 3)
        self.weight = nn.Sequential(
            nn.Conv2d(half // 4, full, 7, 1, 3), nn.ReLU(), nn.Conv2d(full, 1, 7, 1, 3), nn.Sigmoid()
        )
        for name, step in (("grid1", 1), ("grid2", 2)):
            self.register_buffer(name, region_grid(config.face_size, 0, step), persistent=False)

    def encode(self, image: Tensor, sketch: Tensor) -> tuple[Tensor, Tensor]:
        """References `(n, 3, S, S)` and sketches `(n, 1, S, S)` to `(n, c1, S, S)` and `(n, c2, S/2, S/2)`."""
        full = self.encode_full(torch.cat([image, copied(sketch, self.copies)], 1))
        return full, self.encode_half(full)

    def forward(self, references: EncodedReferences, sketches: Tensor) -> WarpedReferences:
        """The references on the target's sketches `(b, 5, S, S)`, whose modulation all references share."""
        count = references.images.shape[1]
        drawn = copied(sketches, self.copies)
        x = flat(references.half)
        for block in self.blocks:
            x = block(x, F.interpolate(drawn, scale_factor=0.5), count)
        x = self.last(self.up(x), drawn, count)
        flow, weight = self.flow(x) / self.size, self.weight(x)
        half_flow = F.interpolate(flow, scale_factor=0.5, mode="bilinear", align_corners=False)
        full_places, half_places = positions(self.grid1, flow), positions(self.grid2, half_flow)
        return WarpedReferences(
            image=_mean(references.images, full_places, weight),
            full=_mean(references.full, full_places, weight),
            half=_mean(references.half, half_places, weight[..., ::2, ::2]),
        )


class TranslationNet(nn.Module):
    """The face from the masked target, its sketches, the warped references and the speech."""

    def __init__(self, config: IplapConfig) -> None:
        super().__init__()
        full, half, hidden = (scaled(channels, config.width) for channels in (FULL, HALF, HIDDEN))
        token, bottleneck = scaled(TOKEN, config.width), scaled(BOTTLENECK, config.width)
        self.copies = config.sketch_channels
        self.speech = speech_encoder(config.width)
        self.encoder = nn.Sequential(conv_norm(3 + config.sketches, full, 1, 3, 7), conv_norm(full, half, 2))
        self.guided_half, self.spoken_half = spade(half, half, hidden), adain(half, token, bottleneck)
        self.up = nn.PixelShuffle(2)
        self.guided_full, self.spoken_full = spade(half // 4, full, hidden), adain(half // 4, token, bottleneck)
        self.guided_image = spade(half // 4, 3, hidden)
        self.head = nn.Sequential(nn.LeakyReLU(), nn.Conv2d(half // 4, 3, 7, 1, 3, bias=False), nn.Sigmoid())

    def forward(self, masked: Tensor, sketches: Tensor, warped: WarpedReferences, mel: Tensor) -> Tensor:
        """The whole face `(b, 3, S, S)` in [0, 1]; shapes as in `IplapRenderer`."""
        token = self.speech(mel)
        x = self.encoder(torch.cat([masked, copied(sketches, self.copies)], 1))
        x = self.up(self.spoken_half(self.guided_half(x, warped.half), token))
        x = self.spoken_full(self.guided_full(x, warped.full), token)
        picture: Tensor = self.head(self.guided_image(x, warped.image))
        return picture


class IplapRenderer(nn.Module):
    """Flow and translation. Encodings of references, and the modulation by the target, are computed once each."""

    def __init__(self, config: IplapConfig) -> None:
        super().__init__()
        self.config = config
        self.align = FlowNet(config)
        self.translate = TranslationNet(config)

    def encode(self, images: Tensor, sketches: Tensor) -> EncodedReferences:
        """References `(b, k, 3, S, S)` in [0, 1] with sketches `(b, k, 1, S, S)`."""
        full, half = self.align.encode(flat(images), flat(sketches))
        return EncodedReferences(images, *(grouped(level, images.shape[1]) for level in (full, half)))

    def forward(
        self, target: Tensor, sketches: Tensor, mel: Tensor, references: EncodedReferences
    ) -> tuple[Tensor, Tensor]:
        """The face and the warped references' mean, `(b, 3, S, S)` each.

        target: `(b, 3, S, S)` in [0, 1], of which the lower half is masked here. sketches: `(b, 5, S, S)`. mel:
        `(b, 1, 80, 16)` in [-4, 4].
        """
        masked = target.clone()
        masked[..., target.shape[-2] // 2 :, :] = 0
        warped = self.align(references, sketches)
        return self.translate(masked, sketches, warped, mel), warped.image


def copied(sketches: Tensor, copies: int) -> Tensor:
    """Sketches `(b, n, S, S)` with each channel repeated, `(b, n copies, S, S)`."""
    return repeat(sketches, "b n h w -> b (n c) h w", c=copies)


def _mean(features: Tensor, places: Tensor, weight: Tensor) -> Tensor:
    """sum_i w_i x_i / (sum_i w_i + 1e-5) over k references `(b, k, c, h, w)`, sampled at places `(b k, h, w, 2)`."""
    count = features.shape[1]
    total = grouped(warp(flat(features), places) * weight, count).sum(1)
    return total / (grouped(weight, count).sum(1) + _EPSILON)
