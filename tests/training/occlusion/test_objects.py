"""Objects that are put before faces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lipsmith.training.occlusion.objects import Random, blurred, occluded

COUNT = 64


def put(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return faces of one gray, the same with objects, and their opacity."""
    filmed = torch.full((COUNT, 3, 32, 64), 0.5)
    others = torch.rand(COUNT, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    return filmed, *occluded(filmed, others, random(seed))


def random(seed: int) -> Random:
    return Random(torch.Generator().manual_seed(seed))


def test_only_shadows_reach_beyond_an_object() -> None:
    filmed, covered, opacity = put()
    free = (opacity < 1e-4).expand_as(covered)
    assert (covered[free] <= filmed[free] + 1e-3).all()
    assert (covered[free] >= 0.5 * filmed[free]).all()
    assert covered.min() >= 0
    assert covered.max() <= 1


def test_objects_are_seen_and_leave_part_of_most_faces_free() -> None:
    opacity = put()[2]
    shares = opacity.mean((1, 2, 3))
    assert 0.05 < shares.median() < 0.5
    assert (shares > 0.005).float().mean() > 0.9
    sharp = ((opacity < 0.02) | (opacity > 0.98)).float().mean()
    assert sharp > 0.85


def test_a_seed_always_puts_the_same_objects() -> None:
    assert torch.equal(put(3)[1], put(3)[1])
    assert not torch.equal(put(3)[1], put(4)[1])


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_blur_keeps_the_mean_of_what_is_far_from_the_border(sigma: float) -> None:
    picture = torch.zeros(1, 2, 25, 25)
    picture[:, :, 12, 12] = 1
    soft = blurred(picture, sigma)
    assert torch.allclose(soft.sum((2, 3)), torch.ones(1, 2), atol=1e-5)
    places = torch.arange(25.0) - 12
    assert float((soft[0, 0].sum(0) * places**2).sum()) == pytest.approx(sigma**2, rel=0.15)
