"""The config of the landmark generator's architecture."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from lipsmith.config import require_range
from lipsmith.speech.mel import MELS


@dataclass(frozen=True)
class LandmarkConfig:
    """Sizes of the landmark generator; the defaults are IP_LAP's."""

    dim: int = 512
    """Width of all tokens."""
    layers: int = 4
    """Transformer layers."""
    heads: int = 4
    """Attention heads."""
    feed_forward: int = 1024
    """Hidden width of the layers' feed-forward part."""
    dropout: float = 0.1
    """Dropout in training, 0..1."""
    window: int = 5
    """Frames T per window in training and, by default, at inference."""
    references: int = 15
    """Reference landmark sets N_l at inference, and the maximum in training."""
    features: Literal["mel", "posteriors", "both"] = "mel"
    """Speech features: the 80-band mel, phoneme posteriors, or the mel with posteriors in the bands after it."""
    bands: int = 80
    """Values per step of those features; 80 for the mel, more for both."""
    speech_channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Widths of the speech encoder: five levels for the mel, one for posteriors."""
    speech_residuals: int | tuple[int, ...] = 1
    """Residual convolutions of the mel encoder's first four levels: a number, or one per level."""
    temporal: int = 0
    """Residual convolutions over the window's speech tokens, before the transformer."""
    points: Literal["convolutions", "perceptron"] = "convolutions"
    """Encoder of pose and reference points: strided 1-D convolutions along their order, or a perceptron."""
    point_channels: tuple[int, ...] = (64, 128, 256, 512)
    """Widths of those convolutions, or the one hidden width of the perceptron."""
    steady: float = 3.0
    """Standard deviation, in frames, of the Gaussian that averages the pose over time."""
    nearness: float = 3e-5
    """Variance, in squared crop units, of the Gaussian weight of references by their distance in pose."""
    joint: bool = False
    """Whether a frame's speech and pose share one token, from which lips and jaw are predicted."""
    placed: bool = False
    """Whether lips and jaw also move with the head by a linear map (`Placement`), fitted when training ends."""

    def __post_init__(self) -> None:
        require_range(self, 1, inf, "dim", "layers", "heads", "feed_forward", "window", "references", "bands")
        require_range(self, 1, inf, "speech_channels", "point_channels")
        require_range(self, 0, 1, "dropout")
        require_range(self, 0, inf, "speech_residuals", "temporal")
        if not self.point_channels:
            raise ValueError("point_channels need at least one width")
        if min(self.steady, self.nearness) <= 0:
            raise ValueError(f"steady {self.steady} and nearness {self.nearness} of Gaussians are above 0")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        if self.dim % 2:
            raise ValueError(f"dim {self.dim} is odd; the position code needs sines and cosines in pairs")
        wanted = 1 if self.features == "posteriors" else 5
        if len(self.speech_channels) != wanted:
            raise ValueError(f"speech_channels of {self.features} need {wanted} widths, not {self.speech_channels}")
        if isinstance(self.speech_residuals, tuple) and len(self.speech_residuals) != 4:
            raise ValueError(f"speech_residuals need 4 numbers, not {self.speech_residuals}")
        if self.features == "both" and self.bands <= MELS:
            raise ValueError(f"bands = {self.bands} leave none for posteriors beside the mel's {MELS}")
