"""Pairs of pictures, filmed and drawn, with objects."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from lipsmith.training.occlusion.objects import Random  # noqa: E402
from lipsmith.training.occlusion.sampler import lent  # noqa: E402


def test_a_drawing_shows_the_object_of_its_references_about_where_it_is() -> None:
    random = Random(torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    drawn, covered = torch.zeros(64, 3, 32, 64), torch.ones(64, 3, 32, 64)
    opacity = torch.zeros(64, 1, 32, 64)
    opacity[:, :, 8:24, 16:48] = 1
    shown = lent(drawn, covered, opacity, random).mean((0, 1))
    assert 0.5 < shown[12:20, 24:40].mean() < 0.95
    assert shown[:, :4].mean() < 0.05
    assert lent(drawn, covered, 0 * opacity, random).abs().max() == 0
