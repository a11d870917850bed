"""The adversary: its losses by hand, and which network they train."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lipsmith.models.renderer.discriminator import MultiScaleDiscriminator
from lipsmith.training.losses.adversarial import Adversary, discriminator_loss, feature_matching_loss, generator_loss


def test_adversarial_losses_are_least_squares() -> None:
    fake = [[torch.tensor([1.0]), torch.tensor([0.5])], [torch.tensor([2.0]), torch.tensor([0.0])]]
    real = [[torch.tensor([4.0]), torch.tensor([1.0])], [torch.tensor([2.0]), torch.tensor([0.0])]]
    assert discriminator_loss(fake, real).item() == pytest.approx(((0 + 0.25) + (1 + 0)) / 2 / 2)
    assert generator_loss(fake).item() == pytest.approx((0.25 + 1) / 2)
    assert feature_matching_loss(fake, real).item() == pytest.approx((3 + 0) / 2)


def make_adversary(rate: float = 0.1) -> Adversary:
    torch.manual_seed(0)
    discriminator = MultiScaleDiscriminator(4)
    return Adversary(discriminator, torch.optim.SGD(discriminator.parameters(), rate, momentum=0.9))


def test_a_step_follows_the_gradient_of_its_own_pictures() -> None:
    adversary, (fake, real) = make_adversary(rate=0.0), torch.rand(2, 1, 3, 16, 16)
    gradients = []
    for _ in range(2):
        adversary.train_step(fake, real)
        gradients.append(
            [
                torch.clone(parameter.grad)
                for parameter in adversary.discriminator.parameters()
                if parameter.grad is not None
            ]
        )
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def test_each_step_gives_the_other_network_no_gradients() -> None:
    adversary, source = make_adversary(), nn.Parameter(torch.rand(2, 3, 16, 16))
    real = torch.rand(2, 3, 16, 16)
    before = [parameter.clone() for parameter in adversary.discriminator.parameters()]
    adversary.train_step(source * 1.0, real)
    assert source.grad is None
    after = list(adversary.discriminator.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    adversary.optimizer.zero_grad(set_to_none=True)
    torch.stack(list(adversary.judge(source * 1.0, real).values())).sum().backward()
    assert source.grad is not None
    assert source.grad.any()
    assert all(parameter.grad is None for parameter in after)


def test_the_state_of_the_adversary_is_restored() -> None:
    one, other = make_adversary(), make_adversary()
    one.train_step(torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for adversary in (one, other):  # momentum continues
        adversary.train_step(torch.ones(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))
    picture = torch.rand(1, 3, 16, 16)
    assert torch.equal(one.discriminator(picture)[0][-1], other.discriminator(picture)[0][-1])


def test_a_picture_that_overflows_does_not_change_the_discriminator() -> None:
    adversary, real = make_adversary(), torch.rand(1, 3, 16, 16)
    before = [parameter.clone() for parameter in adversary.discriminator.parameters()]
    adversary.train_step(torch.full_like(real, torch.inf), real)
    assert all(torch.isfinite(parameter).all() for parameter in adversary.discriminator.parameters())
    adversary.train_step(0 * real, real)
    after = adversary.discriminator.parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
