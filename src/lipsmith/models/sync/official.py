"""SyncNet as published: Chung & Zisserman, "Out of time: automated lip sync in the wild" (ACCV 2016).

The layout matches the public weights `syncnet_v2`, whose tensors load by name; without them the network is meaningless.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

SIZE: Final = 224
"""Side of the pictures, pixels."""
STEPS: Final = 20
"""MFCC steps of one window, 0.2 s."""


class OfficialSyncNet(nn.Module):
    """Two towers to 1024 numbers each; their Euclidean distance is LSE-D."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _speech_convolutions()
        self.netfcaud = _projection()
        self.netfclip = _projection()
        self.netcnnlip = _mouth_convolutions()

    def mouth(self, frames: Tensor) -> Tensor:
        """`(B, 3, 5, 224, 224)`, BGR in 0..255, to `(B, 1024)`."""
        embedding: Tensor = self.netfclip(self.netcnnlip(frames).flatten(1))
        return embedding

    def speech(self, coefficients: Tensor) -> Tensor:
        """MFCC `(B, 1, 13, 20)`, 100 steps a second, to `(B, 1024)`."""
        embedding: Tensor = self.netfcaud(self.netcnnaud(coefficients).flatten(1))
        return embedding


def _projection() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


def _speech_convolutions() -> nn.Sequential:
    def block(inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, pad: int = 1) -> tuple[nn.Module, ...]:
        return nn.Conv2d(inputs, outputs, kernel, padding=pad), nn.BatchNorm2d(outputs), nn.ReLU()

    return nn.Sequential(
        *(*block(1, 64), nn.MaxPool2d(1, 1)),
        *(*block(64, 192), nn.MaxPool2d(3, (1, 2))),
        *block(192, 384),
        *block(384, 256),
        *(*block(256, 256), nn.MaxPool2d(3, 2)),
        *block(256, 512, (5, 4), 0),
    )


def _mouth_convolutions() -> nn.Sequential:
    def block(
        inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1, pad: int = 1
    ) -> tuple[nn.Module, ...]:
        convolution = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), (0, pad, pad))
        return convolution, nn.BatchNorm3d(outputs), nn.ReLU()

    return nn.Sequential(
        *(*block(3, 96, (5, 7, 7), 2, 0), nn.MaxPool3d((1, 3, 3), (1, 2, 2))),
        *(*block(96, 256, (1, 5, 5), 2), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))),
        *block(256, 256, (1, 3, 3)),
        *block(256, 256, (1, 3, 3)),
        *(*block(256, 256, (1, 3, 3)), nn.MaxPool3d((1, 3, 3), (1, 2, 2))),
        *block(256, 512, (1, 6, 6), 1, 0),
    )
