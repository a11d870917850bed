"""IP_LAP's landmark generator, for its cost: 15 reference sets, speech and pose of 5 frames to lips and jaw.

It is not trained here. Compared renderers share our landmark generator, so that the pictures alone are compared.
"""

from __future__ import annotations

from typing import Final

import torch
from einops import rearrange
from torch import Tensor, nn

from lipsmith.face.landmarks import NUM_JAW, NUM_LIPS
from lipsmith.models.landmarks.layers import EncoderLayer, sinusoids
from lipsmith.models.mel_encoder import MelEncoder
from lipsmith.models.peers.wav2lip import RESIDUALS

DIM, LAYERS, HEADS, FEED_FORWARD, DROPOUT = 512, 4, 4, 1024, 0.1
WINDOW, REFERENCES = 5, 15
Levels = tuple[tuple[int, int, int], ...]
_OF_REFERENCE: Final[Levels] = (
    (4, 1, 0), (8, 2, 2), (16, 2, 2), (32, 2, 2), (64, 2, 2), (128, 2, 2), (256, 2, 1),
)  # fmt: skip
"""Channels, stride and residual convolutions of the levels over 131 points."""
_OF_POSE: Final[Levels] = (
    (4, 1, 0), (8, 1, 2), (16, 2, 2), (32, 2, 2), (64, 2, 2), (128, 2, 2), (256, 2, 2),
)  # fmt: skip
"""The same over 74 points."""


class IplapLandmarks(nn.Module):
    """The generator of the published widths; its output is absolute positions."""

    def __init__(self) -> None:
        super().__init__()
        self.speech = nn.Sequential(MelEncoder((32, 64, 128, 256, DIM), DIM, RESIDUALS), nn.Tanh())
        self.reference, self.pose = _points(_OF_REFERENCE), _points(_OF_POSE)
        self.normalize = nn.LayerNorm(DIM)
        self.modality = nn.Parameter(0.02 * torch.randn(3, DIM))
        self.layers = nn.Sequential(*(EncoderLayer(DIM, HEADS, FEED_FORWARD, DROPOUT) for _ in range(LAYERS)))
        self.lips = nn.Linear(DIM, 2 * NUM_LIPS)
        self.jaw = nn.Linear(DIM, 2 * NUM_JAW)

    def forward(self, mel: Tensor, pose: Tensor, references: Tensor) -> Tensor:
        """Content `(b, T, 57, 2)`; mel `(b, T, 80, 16)`, pose `(b, T, 74, 2)`, references `(b, N, 131, 2)`."""
        batch, frames = pose.shape[:2]
        heard = self.speech(rearrange(mel, "b t c s -> (b t) 1 c s"))
        seen, posed = (
            encoder(rearrange(points, "b n p c -> (b n) c p"))
            for encoder, points in ((self.reference, references), (self.pose, pose))
        )
        seen, heard, posed = (
            self.normalize(rearrange(tokens, "(b n) d -> b n d", b=batch)) + kind
            for tokens, kind in zip((seen, heard, posed), self.modality, strict=True)
        )
        position = sinusoids(frames, DIM, pose)
        tokens = self.layers(torch.cat([seen, heard + position, posed + position], 1))
        lips, jaw = self.lips(tokens[:, -2 * frames : -frames]), self.jaw(tokens[:, -frames:])
        return rearrange(torch.cat([jaw, lips], -1), "b t (p c) -> b t p c", c=2)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(channels, channels, 3, 1, 1), nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _points(levels: Levels) -> nn.Sequential:
    """Points `(n, 2, p)` along their order to tokens `(n, 512)`."""
    layers: list[nn.Module] = []
    width = 2
    for channels, stride, residuals in levels:
        layers += [nn.Conv1d(width, channels, 3, stride, 1), nn.BatchNorm1d(channels), nn.ReLU()]
        layers += [_Residual(channels) for _ in range(residuals)]
        width = channels
    layers += [nn.Conv1d(width, DIM, 3), nn.BatchNorm1d(DIM), nn.ReLU(), nn.Conv1d(DIM, DIM, 1), nn.Tanh()]
    return nn.Sequential(*layers, nn.Flatten())
