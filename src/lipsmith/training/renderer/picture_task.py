"""The training of networks that render faces: what they share, and the paper's loss for those that align references."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Final, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lipsmith.data.clips import prepared_side, read_manifest
from lipsmith.errors import InputError, UsageError, counted
from lipsmith.evaluation.protocols import MIN_STRICT_SECONDS
from lipsmith.models.lip_detector import LipDetector
from lipsmith.models.renderer.discriminator import MultiScaleDiscriminator
from lipsmith.models.vgg import VGG, find_vgg, load_vgg
from lipsmith.training.device import channels_last, mixed_precision
from lipsmith.training.lips.task import load_lip_detector
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.renderer import renderer_terms
from lipsmith.training.renderer.augment import augment
from lipsmith.training.renderer.batch import compare, render_batch
from lipsmith.training.renderer.config import PERCEPTUAL, AlignedTraining, PictureTraining, Sizes
from lipsmith.training.renderer.figures import measure, picture
from lipsmith.training.renderer.sampler import Batch, Footage, fixed_batches
from lipsmith.training.task import Task

_OF_DETECTOR: Final = ("lips", "gaps")
"""The terms of the loss that need the lip detector."""


class PictureTask(Task[Batch]):
    """What the training of any network that renders faces shares: footage, augmentation, validation, pictures.

    `build` returns a module on batches, as `render_batch` calls it, whose `network` is saved.
    """

    name = "renderer"
    footage_class: ClassVar[type[Footage]] = Footage
    vgg: VGG | None = None
    detector: LipDetector | None = None

    def __init__(self, config: PictureTraining) -> None:
        self.config: PictureTraining = config
        self.samples = config.clips * config.targets

    def load(self, data: Path, device: torch.device) -> str:
        """Load frames of `train`, fixed batches of `val`, and the judges.

        Raises InputError if clips are too short, UsageError if their side is not the model's.
        """
        neighbors = self.config.model.neighbors
        records = read_manifest(data, "train")
        _check_side(prepared_side(data, records[0]), self.config.model.face_size, data)
        self.footage = self.footage_class(data, records, neighbors, device)
        held_out = Footage(data, read_manifest(data, "val"), neighbors, device)
        self.trials = list(fixed_batches(held_out, self.config))
        if not self.trials:
            raise InputError(
                f"{data}: no clip of val lasts {MIN_STRICT_SECONDS:g} s; prepare longer footage to validate on."
            )
        self.precision = mixed_precision(device)
        self.load_judges(device)
        people = counted(len({record.identity for record in records}), "person", "people")
        clips = counted(len(self.trials), "clip")
        return f"{len(self.footage.images)} frames of {people}, {clips} to validate on"

    def load_judges(self, device: torch.device) -> None:
        """Load the frozen networks of the loss."""

    def exported(self, module: nn.Module) -> nn.Module:
        """The renderer alone."""
        return module.get_submodule("network")

    def prepare(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Use the memory layout of convolutions, and compile the network if the config says so."""
        ready = channels_last(module, device)
        return cast("nn.Module", torch.compile(ready)) if self.config.compile else ready

    def batch(self, random: torch.Generator) -> Batch:
        """Augmented clips with references and targets."""
        return augment(self.footage.draw(self.config, random), random)

    def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
        """Figures of the strict protocol; see `measure`."""
        batches = [batch for _, batch in self.trials[:trials]]
        identities = [record.identity for record, _ in self.trials[:trials]]
        with self.precision:
            judges = self.vgg, self.detector, self.config.perceptual_share
            return measure(averaged, batches, identities, self.config.model.top, *judges)

    def picture(self, averaged: nn.Module) -> Tensor | None:
        """A row for every fourth clip of `val`."""
        with torch.no_grad():
            return picture(averaged, [batch for _, batch in self.trials[::4]], self.config.model)


class AlignedTask(PictureTask):
    """Trains a network that aligns references: pixel terms first, then VGG terms, then the adversary."""

    def __init__(self, config: AlignedTraining) -> None:
        super().__init__(config)
        self.config: AlignedTraining = config
        self.weights = asdict(config.weights)

    def discriminator(self) -> tuple[nn.Module, Optimizer] | None:
        """The discriminator and its optimizer, if the adversary is enabled."""
        if not self.config.has_adversary:
            return None
        network = MultiScaleDiscriminator(self.config.discriminator_channels)
        return network, torch.optim.Adam(network.parameters(), self.config.learning_rate, betas=(0.5, 0.999))

    def losses(self, network: nn.Module, batch: Batch, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        """The active terms at this share of the run; with the adversary also `discriminator`, its own loss."""
        config = self.config
        with self.precision:
            rendered = render_batch(network, batch)
        shift = _window_shift(config.model)
        comparison = compare(rendered, batch, config.model.top, self.vgg, self.detector, config.perceptual_share, shift)
        joined = adversary if done >= config.gan_from else None
        with self.precision:
            faces = comparison.generated_face, comparison.true_face
            judged = {} if joined is None else {"discriminator": joined.train_step(*faces)}
            return renderer_terms(comparison, config.active_terms(done), joined) | judged

    def load_judges(self, device: torch.device) -> None:
        """Load VGG for the perceptual terms and the lip detector for those of lips, if they are enabled."""
        if any(self.weights[name] > 0 for name in PERCEPTUAL):
            self.vgg = channels_last(load_vgg(*find_vgg()), device)
        if any(self.weights[name] > 0 for name in _OF_DETECTOR):
            self.detector = channels_last(load_lip_detector(self.config.detector), device)


def _check_side(prepared: int, needed: int, data: Path) -> None:
    if prepared != needed:
        raise UsageError(
            f"{data}: the clips are {prepared} pixels wide, but the model takes {needed}; prepare the footage into "
            f"another folder with a side of {needed}, or set face_size in the config."
        )


def _window_shift(config: Sizes) -> tuple[int, int]:
    """A random shift of the face window, so that pooling and strides do not always have the same alignment.

    It is drawn on the CPU, because a shape must not wait for the device.
    """
    size = config.face_size
    spare = min(size // 32, max(0, 7 * size // 16 - config.top))
    up, right = torch.rand(2).tolist()
    return int(up * (spare + 1)), round((2 * right - 1) * size / 18)
