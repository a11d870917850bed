"""A lip-sync judge: measures whether five mouth frames and 0.2 s of speech belong together.

Two towers after Chung & Zisserman, "Out of time: automated lip sync in the wild" (ACCV 2016), with residual
convolutions and embeddings on the unit sphere. Trained by `lipsmith.training.sync.task`; its distances lie in [0, 2]
and are not those of the official network (`lipsmith.models.sync.official`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.config import require_range

WINDOW: Final = 5
"""Frames of a mouth window."""


@dataclass(frozen=True)
class SyncNetConfig:
    """The architecture; stored in the checkpoint."""

    frames: int = 5
    """Frames of one mouth window."""
    height: int = 48
    """Rows of a mouth picture (the scaled lower half of the crop)."""
    width: int = 96
    """Columns of a mouth picture."""
    mouth_widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the mouth tower's stages, each at half of the previous resolution."""
    mel_widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of the speech tower's stages."""
    blocks: int = 2
    """Residual blocks per stage."""
    embedding: int = 256
    """Length of the embeddings."""
    dropout: float = 0.3
    """Dropout on the last features, 0..1."""

    def __post_init__(self) -> None:
        require_range(self, 1, inf, "height", "width", "mouth_widths", "mel_widths", "blocks", "embedding")
        require_range(self, 0, 1, "dropout")
        if not self.mouth_widths or not self.mel_widths:
            raise ValueError("mouth_widths and mel_widths need a width for at least one stage")
        if self.frames != WINDOW:
            raise ValueError(f"frames = {self.frames}, but windows have {WINDOW}")


class Residual(nn.Module):
    """Two 3x3 convolutions with a skip connection; the first may have a stride and more channels."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == (1, 1)
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H / stride, W / stride)`."""
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.skip(x))


def _stages(widths: tuple[int, ...], blocks: int, strides: tuple[tuple[int, int], ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = widths[0]
    for width, stride in zip(widths, strides, strict=True):
        layers.append(Residual(channels, width, stride))
        layers.extend(Residual(width, width) for _ in range(blocks - 1))
        channels = width
    return nn.Sequential(*layers)


class _Head(nn.Module):
    """Maps features to a unit vector; flattens instead of pooling, because sync depends on positions in space and
    time."""

    def __init__(self, channels: int, cells: int, config: SyncNetConfig) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(channels, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU())
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Linear(96 * cells, config.embedding)

    def forward(self, x: Tensor) -> Tensor:
        flat = rearrange(self.squeeze(x), "b c h w -> b (c h w)")
        return F.normalize(self.project(self.dropout(flat)).float(), dim=-1)


class MouthTower(nn.Module):
    """Mouth windows `(B, 5, 3, h, w)` in [0, 1] to unit embeddings `(B, E)`."""

    def __init__(self, config: SyncNetConfig) -> None:
        super().__init__()
        first = config.mouth_widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3 * config.frames, first, 7, 2, 3, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        strides = ((1, 1),) + ((2, 2),) * (len(config.mouth_widths) - 1)
        self.stages = _stages(config.mouth_widths, config.blocks, strides)
        scale = 2 ** len(config.mouth_widths)
        cells = -(-config.height // scale) * -(-config.width // scale)
        self.head = _Head(config.mouth_widths[-1], cells, config)

    def forward(self, mouths: Tensor) -> Tensor:
        """`(B, 5, 3, h, w)` to `(B, E)`; a window's frames are channels, so the stem can detect motion."""
        x = rearrange(mouths, "b t c h w -> b (t c) h w") * 4 - 2
        embedding: Tensor = self.head(self.stages(self.stem(x)))
        return embedding


class SpeechTower(nn.Module):
    """Mel windows `(B, 1, 80, 16)` in [-4, 4] to unit embeddings `(B, E)`."""

    def __init__(self, config: SyncNetConfig) -> None:
        super().__init__()
        first = config.mel_widths[0]
        self.stem = nn.Sequential(nn.Conv2d(1, first, 5, (2, 1), 2, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        later = len(config.mel_widths) - 1
        strides = ((1, 1), (2, 1)) + ((2, 2),) * (later - 1) if later else ((1, 1),)
        self.stages = _stages(config.mel_widths, config.blocks, strides)
        bands, steps = -(-80 // 2 ** len(config.mel_widths)), -(-16 // 2 ** max(later - 1, 0))
        self.head = _Head(config.mel_widths[-1], bands * steps, config)

    def forward(self, mel: Tensor) -> Tensor:
        """`(B, 1, 80, 16)` to `(B, E)`."""
        embedding: Tensor = self.head(self.stages(self.stem(mel / 2)))
        return embedding


class SyncNet(nn.Module):
    """The judge. A lower distance between the two embeddings means better sync."""

    def __init__(self, config: SyncNetConfig) -> None:
        super().__init__()
        self.config = config
        self.mouth = MouthTower(config)
        self.speech = SpeechTower(config)

    def forward(self, mouths: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Windows `(B, 5, 3, h, w)` in [0, 1] and mels `(A, 1, 80, 16)` to embeddings `(B, E)` and `(A, E)`."""
        return self.mouth(mouths), self.speech(mel)

    def mouths(self, images: Tensor) -> Tensor:
        """Lower halves of crops `(F, 3, S, S)` in [0, 1], scaled to `(F, 3, h, w)`."""
        lower = images[:, :, images.shape[2] // 2 :]
        size = (self.config.height, self.config.width)
        return F.interpolate(lower, size, mode="bilinear", antialias=True, align_corners=False)


def windows(mouths: Tensor) -> Tensor:
    """Sliding windows `(F - 4, 5, 3, h, w)` of pictures `(F, 3, h, w)`; the i-th is centered on frame i + 2."""
    return rearrange(mouths.unfold(0, WINDOW, 1), "b c h w t -> b t c h w")
