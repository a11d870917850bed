"""The TOML config of `lipsmith train renderer`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lipsmith.models.renderer.config import RendererConfig
from lipsmith.training.task import TrainingConfig


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms; pixels weigh more than in the paper. Zero disables a term."""

    pixel: float = 150.0
    """L1 of the image, with more weight near the mouth (paper: none)."""
    aligned_pixel: float = 50.0
    """L1 of the aligned references (paper: none)."""
    warped: float = 1.0
    """L_w: VGG features of the aligned references."""
    content: float = 3.0
    """L_r: VGG features of the image."""
    style: float = 300.0
    """L_s: Gram matrices of the image."""
    gan: float = 0.25
    """L_g."""
    matching: float = 2.5
    """L_f."""


@dataclass(frozen=True)
class RendererTraining(TrainingConfig):
    """Config of a training run of the renderer."""

    model: RendererConfig = field(default_factory=RendererConfig)
    """The network."""
    weights: LossWeights = field(default_factory=LossWeights)
    """The loss."""
    train_only: Literal["decoder"] | None = None
    """`decoder` freezes the alignment and its encoders and trains the rest, in half the time per step."""
    clips: int = 32
    """Clips per step; the references of each serve all its targets."""
    targets: int = 4
    """Target frames per clip."""
    pool: int = 8
    """References encoded per clip, of which each target uses a few."""
    nearest_share: float = 0.7
    """Share of the clips whose targets get the nearest references, as in a dub, instead of random ones."""
    moved_share: float = 0.3
    """Share of the targets whose content points are perturbed like predicted ones."""
    learning_rate: float = 4e-4
    """Highest learning rate."""
    gradient_clip: float = 10.0
    """Largest norm of the gradient."""
    perceptual_from: float = 0.1
    """Share of the run after which the VGG terms are added."""
    perceptual_share: float = 1.0
    """Share of the targets that VGG processes, which costs four times as much as the network; use 1 only on a GPU."""
    gan_from: float = 0.75
    """Share of the run after which the adversary is added; 1 or more for never."""
    discriminator_channels: int = 32
    """Channels of the discriminator's first layer."""
    seed: int = 1
    """Seed of weights and samples."""
    compile: bool = False
    """Compile the network with torch.compile; useful on a GPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.clips, self.targets) < 1:
            raise ValueError("clips and targets are at least 1")
        if self.pool < self.model.references:
            raise ValueError(f"pool = {self.pool} is less than the {self.model.references} references of the model")

    @property
    def has_adversary(self) -> bool:
        """Whether the adversary is ever added."""
        return self.gan_from < 1 and (self.weights.gan > 0 or self.weights.matching > 0)
