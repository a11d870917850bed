"""The config of the renderer's architecture: widths, resolutions, and the enabled modules of the paper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf, lcm
from typing import Final, Literal

from lipsmith.config import require_range

Part = Literal["alignment", "lips", "audio"]
"""Parts that the paper's ablations remove."""


@dataclass(frozen=True)
class RendererConfig:
    """All settings that determine the shapes of the renderer's weights; stored in the checkpoint."""

    face_size: int = 128
    """Side S of the crop, pixels."""
    top: int = 48
    """First computed row; rows above come from the source. It is less than S/2, so that the seam has context,
    and a multiple of S/8 and of 4."""
    neighbors: int = 2
    """Frames k before and after the target whose sketches are inputs, 2k+1 in total."""
    full: int = 16
    """Channels at full resolution."""
    fine: int = 32
    """Channels at half resolution."""
    coarse: int = 64
    """Channels at a quarter of the resolution."""
    blocks: int = 1
    """Residual blocks in each fusion of features."""
    context: int = 0
    """Channels of the alignment's context at an eighth of the resolution and below; zero for none."""
    painting: int = 0
    """Residual blocks of the decoder at a quarter and at half of the resolution each, with access to the guides."""
    references: int = 3
    """References warped onto one target in a dub; can be changed at inference."""
    lips: int = 5
    """Lip references in a dub; can be changed at inference."""
    ranks: int = 0
    """References of every frame in an evaluation, at evenly spaced ranks of lip opening, as published; 0 for the
    `references` nearest to each target. A dub always takes the nearest."""
    alignment: Literal["flow", "learned", "none"] = "flow"
    """`learned` learns the whole flow, as published; `none` averages unaligned references: the paper's ablation without
    alignment."""
    lip_module: Literal["mean", "none"] = "mean"
    """`none` removes the lip references: the paper's ablation."""
    audio: Literal["attention", "none"] = "attention"
    """`none` removes the speech from the renderer: the paper's ablation."""
    prefilter: float = 0.0
    """Amount by which references are sharpened before warping, which blurs them; see `models.renderer.prefilter`."""
    lip_reach: float = 0.03
    """Reach, crop units, of a lip point in the flow that separates upper and lower lip; 0 for none."""
    drive: float = 1.1
    """Factor on the distance of predicted lips and jaw from rest in a dub, because pictures follow landmarks by less
    than requested. Can be changed at inference."""
    modulation_norm: Literal["none", "instance"] = "none"
    """Normalization inside SPADE: `instance` as published; `none` keeps colors and is cheaper on a CPU."""

    def __post_init__(self) -> None:
        require_range(self, 1, inf, "full", "fine", "coarse", "references", "lips")
        require_range(self, 0, inf, "neighbors", "blocks", "context", "painting", "ranks")
        require_range(self, 0, inf, "prefilter", "lip_reach", "drive")
        if self.face_size < 8 or self.face_size % 8:
            raise ValueError(f"face_size = {self.face_size} must be a multiple of 8")
        step = lcm(4, self.face_size // 8)  # cells of the features, and of the detail's light (`DetailShare`)
        if self.top % step or not 0 <= self.top < self.face_size // 2:
            raise ValueError(
                f"top = {self.top} must be a multiple of {step} and below {self.face_size // 2}, with face_size = "
                f"{self.face_size}"
            )

    @property
    def by_ranks(self) -> bool:
        """Whether all targets of a face have the same references, at ranks of lip opening, not the nearest."""
        return self.ranks > 0

    def without(self, parts: Iterable[Part]) -> RendererConfig:
        """The same architecture without `parts`: the paper's ablations."""
        return replace(self, **{_FIELDS[part]: "none" for part in parts})  # type: ignore[arg-type]

    @property
    def sketches(self) -> int:
        """Number of sketches per target."""
        return 2 * self.neighbors + 1


_FIELDS: Final[dict[Part, str]] = {"alignment": "alignment", "lips": "lip_module", "audio": "audio"}
