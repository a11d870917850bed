"""The configs of the compared systems' architectures. A `width` of 1 is the published one."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from lipsmith.config import require_range

STEP: Final = 4
"""Channels are multiples of this, because PixelShuffle makes one channel of four."""


def scaled(channels: int, width: float) -> int:
    """Published `channels` times `width`, to a multiple of `STEP`."""
    return max(STEP, STEP * round(channels * width / STEP))


@dataclass(frozen=True)
class PeerConfig:
    """What both systems have in common."""

    width: float = 1.0
    """Factor on all published widths."""
    face_size: int = 128
    """Side S of the prepared crops, pixels; Wav2Lip itself works on 96."""

    def __post_init__(self) -> None:
        if self.width <= 0 or self.face_size % 8:
            raise ValueError("width must be above 0, and face_size a multiple of 8")

    @property
    def top(self) -> int:
        """First row of a crop that is compared: the lower half is new."""
        return self.face_size // 2

    @property
    def lips(self) -> int:
        """Lip references, of which there are none; a batch has at least one."""
        return 1

    @property
    def by_ranks(self) -> bool:
        """References are at ranks of lip opening: as published, or because the target's mouth is unknown (Wav2Lip)."""
        return True


@dataclass(frozen=True)
class Wav2LipConfig(PeerConfig):
    """Wav2Lip's generator (Prajwal et al. 2020)."""

    @property
    def references(self) -> int:
        """References of one target."""
        return 1

    @property
    def neighbors(self) -> int:
        """Frames around the target whose sketches are inputs: none, because there are no sketches."""
        return 0


@dataclass(frozen=True)
class IplapConfig(PeerConfig):
    """IP_LAP's renderer (Zhong et al. 2023)."""

    neighbors: int = 2
    """Frames before and after the target whose sketches are inputs."""
    sketch_channels: int = 3
    """Equal channels of each sketch: three as published; one says the same and is cheaper."""
    references: int = 3
    """References of one target in training."""
    ranks: int = 25
    """References in an evaluation, at evenly spaced ranks of lip opening, at most a fifth of the frames."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 1, inf, "references", "ranks", "sketch_channels")
        require_range(self, 0, inf, "neighbors")

    @property
    def sketches(self) -> int:
        """Channels of a target's sketches."""
        return self.sketch_channels * (2 * self.neighbors + 1)
