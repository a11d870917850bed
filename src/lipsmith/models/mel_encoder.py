"""Encodes the speech around a video frame as one token: the mel as a picture, other features as 1-D channels."""

from __future__ import annotations

from einops.layers.torch import Rearrange
from torch import Tensor, nn

from lipsmith.models.blocks import NormResidual, conv_norm, zeroed
from lipsmith.speech.mel import MELS


class MelEncoder(nn.Module):
    """2-D convolutions from a mel window of 80 bands and 16 steps to one token, as in Wav2Lip and IP_LAP.

    Five levels: 80x16, 27x16, 9x6, 3x3, 1x1, of `channels` each, the first four with `residuals` residual convolutions
    (a number, or one per level). Runs once per video frame, regardless of the number of windows that contain the frame.
    """

    def __init__(self, channels: tuple[int, int, int, int, int], dim: int, residuals: int | tuple[int, ...]) -> None:
        super().__init__()
        strides = ((1, 1), (3, 1), (3, 3), (3, 2))
        widths = (1, *channels)
        levels: list[nn.Module] = []
        counts = (residuals,) * len(strides) if isinstance(residuals, int) else residuals
        for width, next_width, stride, count in zip(widths[:-2], widths[1:-1], strides, counts, strict=True):
            levels.append(conv_norm(width, next_width, stride))
            levels.extend(NormResidual(next_width) for _ in range(count))
        levels.append(conv_norm(widths[-2], widths[-1], padding=0))
        self.levels = nn.Sequential(*levels)
        self.project = nn.Sequential(Rearrange("n c 1 1 -> n c"), nn.Linear(widths[-1], dim))

    def forward(self, mel: Tensor) -> Tensor:
        """Tokens `(n, dim)` of mel windows `(n, 1, 80, 16)` in [-4, 4]."""
        token: Tensor = self.project(self.levels(mel / 4))
        return token


class FeatureEncoder(nn.Module):
    """1-D convolutions over the 16 steps of features whose bands have no order, such as phoneme posteriors."""

    def __init__(self, bands: int, width: int, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [Rearrange("n 1 c s -> n c s")]
        for channels, stride in ((bands, 1), (width, 2), (width, 2)):
            layers += [nn.Conv1d(channels, width, 3, stride, 1), nn.BatchNorm1d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, Rearrange("n c s -> n (c s)"), nn.Linear(4 * width, dim))

    def forward(self, mel: Tensor) -> Tensor:
        """Tokens `(n, dim)` of feature windows `(n, 1, bands, 16)`, with values of order one."""
        token: Tensor = self.layers(mel)
        return token


class JointEncoder(nn.Module):
    """The sum of a mel encoder's token and one of the `bands` features after the mel; at first of the mel's alone."""

    def __init__(self, mel: MelEncoder, bands: int, dim: int) -> None:
        super().__init__()
        self.mel = mel
        self.others = FeatureEncoder(bands, dim, dim)
        last = self.others.layers[-1]
        assert isinstance(last, nn.Linear)
        zeroed(last)

    @property
    def levels(self) -> nn.Sequential:
        """Those of the mel encoder."""
        return self.mel.levels

    def forward(self, mel: Tensor) -> Tensor:
        """Tokens `(n, dim)` of windows `(n, 1, 80 + bands, 16)` in [-4, 4]."""
        token: Tensor = self.mel(mel[:, :, :MELS].contiguous()) + self.others(mel[:, :, MELS:] / 2)
        return token
