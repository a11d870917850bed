"""The adversary: a discriminator, its optimizer, and its terms of the generator's loss (L_g, L_f; section 3.2.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.training.schedule import drop_nonfinite_gradients

Features = list[list[Tensor]]


def discriminator_loss(fake: Features, real: Features) -> Tensor:
    """Least squares: real scores to 1, fake scores to 0; mean over scales."""
    terms = [(r[-1] - 1).square().mean() + f[-1].square().mean() for f, r in zip(fake, real, strict=True)]
    return torch.stack(terms).mean() / 2


def generator_loss(fake: Features) -> Tensor:
    """Least squares: fake scores to 1; mean over scales."""
    return torch.stack([(scale[-1] - 1).square().mean() for scale in fake]).mean()


def feature_matching_loss(fake: Features, real: Features) -> Tensor:
    """Mean absolute difference between the discriminator's features of fake and real, over layers and scales."""
    terms = [F.l1_loss(f, r) for fs, rs in zip(fake, real, strict=True) for f, r in zip(fs[:-1], rs[:-1], strict=True)]
    return torch.stack(terms).mean()


class Adversary:
    """Owns the discriminator: `train_step` trains it, `judge` scores a fake."""

    def __init__(self, discriminator: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.discriminator = discriminator
        self.optimizer = optimizer

    def train_step(self, fake: Tensor, real: Tensor) -> Tensor:
        """One step of the discriminator on images `(B, 3, H, W)` in [0, 1]; the generator stays unchanged."""
        self.discriminator.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        loss = discriminator_loss(self.discriminator(fake.detach()), self.discriminator(real))
        loss.backward()  # type: ignore[no-untyped-call]
        drop_nonfinite_gradients(self.discriminator)
        self.optimizer.step()
        return loss.detach()

    def judge(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """L_g and L_f of the fake. The discriminator is frozen, so that the generator's step leaves no gradient in
        it."""
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            of_real = self.discriminator(real)
        of_fake = self.discriminator(fake)
        return {"gan": generator_loss(of_fake), "matching": feature_matching_loss(of_fake, of_real)}

    def state_dict(self) -> dict[str, Any]:
        """Weights and the optimizer's state."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
