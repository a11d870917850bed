"""The renderer's architecture as a value: widths, resolutions, and which of the paper's modules it has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

Part = Literal["alignment", "lips", "audio"]
"""What the paper's ablations leave out."""


@dataclass(frozen=True)
class RendererConfig:
    """Everything that decides the renderer's weights' shapes; travels in the checkpoint."""

    face_size: int = 128
    """Side S of the crop, pixels."""
    top: int = 48
    """First row that is computed; rows above are the source's. Below S/2, so that the seam has context."""
    neighbours: int = 2
    """Frames k before and after the target whose sketches are seen; the target sees 2k+1."""
    full: int = 16
    """Channels at full resolution."""
    fine: int = 32
    """Channels at half resolution."""
    coarse: int = 64
    """Channels at a quarter of the resolution."""
    blocks: int = 1
    """Residual blocks where features are fused."""
    context: int = 0
    """Channels of what alignment sees at an eighth of the resolution and below; zero for none."""
    painting: int = 0
    """Residual blocks of the decoder at a quarter and at half the resolution each, where it knows its guides."""
    references: int = 3
    """References that are flowed onto one target at dubbing; free at inference."""
    lips: int = 5
    """Lip references at dubbing; free at inference."""
    alignment: Literal["flow", "none"] = "flow"
    """`none` averages references where they are: the paper's ablation without alignment."""
    lip_module: Literal["mean", "none"] = "mean"
    """`none` leaves the lip references out: the paper's ablation."""
    audio: Literal["attention", "none"] = "attention"
    """`none` leaves the speech out of the renderer: the paper's ablation."""
    prefilter: float = 0.0
    """How much references are sharpened before a flow samples, and so blurs, them; `models.renderer.prefilter`."""
    lip_reach: float = 0.03
    """Reach, crop units, of a lip point in the flow that keeps upper and lower lip apart; 0 for none."""
    drive: float = 1.2
    """How far predicted lips and jaw are driven from rest at dubbing, as a share of what they should move: pictures
    follow landmarks by less. Free at inference."""
    modulation_norm: Literal["none", "instance"] = "none"
    """Normalization inside SPADE: `instance` as published; `none` keeps colors and is cheaper on a CPU."""

    def __post_init__(self) -> None:
        if self.face_size % 8 or self.top % 4 or not 0 <= self.top < self.face_size // 2:
            raise ValueError("face_size must be a multiple of 8, top one of 4 and less than half of face_size")

    def without(self, parts: Iterable[Part]) -> RendererConfig:
        """The same architecture with `parts` left out: the paper's ablations."""
        return replace(self, **{_FIELDS[part]: "none" for part in parts})  # type: ignore[arg-type]

    @property
    def sketches(self) -> int:
        """Sketches that accompany one target."""
        return 2 * self.neighbours + 1


_FIELDS: Final[dict[Part, str]] = {"alignment": "alignment", "lips": "lip_module", "audio": "audio"}
