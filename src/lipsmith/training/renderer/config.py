"""The TOML configs of `lipsmith train renderer`: our renderer, and the systems it is compared with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import inf
from typing import Final, Literal, Protocol

from lipsmith.config import require_range
from lipsmith.face.references import POOL
from lipsmith.models.peers.config import IplapConfig, Wav2LipConfig
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.sync.syncnet import WINDOW
from lipsmith.training.task import TrainingConfig

PERCEPTUAL: Final = frozenset({"warped", "content", "style"})
"""Terms of the loss that need VGG."""
_ADVERSARIAL: Final = frozenset({"gan", "matching"})
_OF_ALIGNMENT: Final = frozenset({"warped", "aligned_pixel"})


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
    lips: float = 0.0
    """Error of the lips that `detector` finds in the image, percent of the crop (paper: none)."""
    gaps: float = 0.0
    """Error of the gaps between these lips, percent of the crop (paper: none)."""

    def __post_init__(self) -> None:
        require_range(self, 0, inf, *asdict(self))


class Sizes(Protocol):
    """The properties of a network on which sampling, loss and validation depend."""

    @property
    def face_size(self) -> int:
        """Side S of the crop, pixels."""

    @property
    def top(self) -> int:
        """First computed row."""

    @property
    def neighbors(self) -> int:
        """Frames before and after the target whose sketches are inputs."""

    @property
    def references(self) -> int:
        """References of one target."""

    @property
    def lips(self) -> int:
        """Lip references of one target."""

    @property
    def by_ranks(self) -> bool:
        """Whether all targets of a face have the same references, at ranks of lip opening, not the nearest."""


@dataclass(frozen=True)
class PictureTraining(TrainingConfig):
    """Config of a training run of any network that renders faces."""

    model: Sizes = field(kw_only=True)
    """The network."""
    clips: int = 32
    """Clips per step; the references of each serve all its targets."""
    targets: int = 4
    """Target frames per clip."""
    pool: int = 8
    """References encoded per clip, of which each target uses a few."""
    nearest_share: float = 0.7
    """Share of the clips whose targets get the nearest references, as in a dub, instead of random ones."""
    scarce_share: float = 0.0
    """Share of the clips that give few references, or one, with mouths open alike, as short shots and portraits do."""
    moved_share: float = 0.3
    """Share of the targets whose content points are perturbed like predicted ones."""
    learning_rate: float = 4e-4
    """Highest learning rate."""
    gradient_clip: float = 10.0
    """Largest norm of the gradient."""
    perceptual_share: float = 1.0
    """Share of the targets that VGG processes, which costs four times as much as the network; use 1 only on a GPU."""
    seed: int = 1
    """Seed of weights and samples."""
    compile: bool = False
    """Compile the network with torch.compile; useful on a GPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 1, inf, "clips", "targets")
        require_range(self, 1, POOL, "pool")
        require_range(self, 0, 1, "nearest_share", "scarce_share", "moved_share", "perceptual_share")
        if self.pool < self.model.references:
            raise ValueError(f"pool = {self.pool} is less than the {self.model.references} references of the model")


@dataclass(frozen=True)
class AlignedTraining(PictureTraining):
    """Config of a training run of a renderer that aligns references, with the paper's loss."""

    weights: LossWeights = field(default_factory=LossWeights)
    """The loss."""
    perceptual_from: float = 0.1
    """Share of the run after which the VGG terms are added."""
    gan_from: float = 0.75
    """Share of the run after which the adversary is added; 1 or more for never."""
    discriminator_channels: int = 32
    """Channels of the discriminator's first layer."""
    detector: str = "lips"
    """The lip detector: a name or folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 0, inf, "perceptual_from", "gan_from")
        require_range(self, 1, inf, "discriminator_channels")
        if not self.active_terms(0.0) and not (self.has_adversary and self.gan_from == 0):
            raise ValueError(
                "no term of the loss counts at the start of the run; give pixel and aligned_pixel a weight, or begin "
                "the others earlier"
            )

    @property
    def has_adversary(self) -> bool:
        """Whether the adversary is ever added."""
        return self.gan_from < 1 and (self.weights.gan > 0 or self.weights.matching > 0)

    def active_terms(self, done: float) -> list[str]:
        """The terms of the loss at the share `done` of the run, without the adversary's."""
        given = [name for name, weight in asdict(self.weights).items() if weight > 0 and name not in _ADVERSARIAL]
        return [name for name in given if done >= self.perceptual_from or name not in PERCEPTUAL]


@dataclass(frozen=True)
class RendererTraining(AlignedTraining):
    """Config of a training run of the renderer."""

    model: RendererConfig = field(default_factory=RendererConfig)
    """The network."""
    train_only: Literal["decoder"] | None = None
    """`decoder` freezes the alignment and its encoders and trains the rest, in half the time per step."""


@dataclass(frozen=True)
class IplapTraining(AlignedTraining):
    """Config of a training run of IP_LAP's renderer."""

    system: Literal["iplap"] = "iplap"
    """Which network this config trains."""
    model: IplapConfig = field(default_factory=IplapConfig)
    """The network."""
    aligned_until: float = 0.1
    """Share of the run in which only the alignment is trained (published: 25 epochs)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 0, 1, "aligned_until")
        if self.clips * self.targets < 2:
            raise ValueError("batch normalization needs two targets: clips times targets is at least 2")

    def active_terms(self, done: float) -> list[str]:
        """The terms of the alignment alone until `aligned_until`, as published."""
        return [name for name in super().active_terms(done) if done >= self.aligned_until or name in _OF_ALIGNMENT]


@dataclass(frozen=True)
class Wav2LipWeights:
    """Weights of Wav2Lip's loss."""

    pixel: float = 0.97
    """L1 of the whole face."""
    sync: float = 0.03
    """-log of the probability that the judge gives to five successive pictures and their speech."""

    def __post_init__(self) -> None:
        require_range(self, 0, inf, *asdict(self))


@dataclass(frozen=True)
class Wav2LipTraining(PictureTraining):
    """Config of a training run of Wav2Lip's generator."""

    system: Literal["wav2lip"] = "wav2lip"
    """Which network this config trains."""
    model: Wav2LipConfig = field(default_factory=Wav2LipConfig)
    """The network."""
    weights: Wav2LipWeights = field(default_factory=Wav2LipWeights)
    """The loss."""
    targets: int = 5
    """Successive frames per clip; the judge takes five."""
    pool: int = 1
    """References per clip."""
    nearest_share: float = 0.0
    """References are random, because the published system knows no landmarks."""
    moved_share: float = 0.0
    """There are no content points."""
    sync_from: float = 0.5
    """Share of the run after which the sync loss is added (published: when the pictures are good enough for it)."""
    judge: str = "sync"
    """The lip-sync judge: a name or folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 0, inf, "sync_from")
        if self.targets != WINDOW:
            raise ValueError(f"targets = {self.targets}, but the judge takes {WINDOW}")
