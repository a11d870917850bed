"""Shares of detail: the reference that is most similar to the rendering has the largest."""

from __future__ import annotations

import torch

from lipsmith.models.renderer.detail import DetailShare


def pictures() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 3, 20, 32)


def test_shares_add_up_to_one() -> None:
    warped = torch.rand(2, 3, 3, 20, 32)
    share = DetailShare(32)(warped, torch.rand(2, 3, 5, 8) + 0.1, pictures())
    assert share.shape == (2, 3, 5, 8)
    torch.testing.assert_close(share.sum(1), torch.ones(2, 5, 8))


def test_the_most_similar_reference_has_the_largest_share_in_any_light() -> None:
    image = pictures()
    warped = torch.stack([torch.rand_like(image), image + 0.2], 1)
    share = DetailShare(32)(warped, torch.ones(2, 2, 5, 8), image)
    assert share[:, 1].min() > 0.95


def test_equal_references_have_shares_in_proportion_to_their_weights() -> None:
    image = pictures()
    weight = torch.tensor([1.0, 3.0])[None, :, None, None].expand(2, 2, 5, 8)
    share = DetailShare(32)(torch.stack([image, image], 1), weight, image)
    torch.testing.assert_close(share[:, 1], torch.full((2, 5, 8), 0.75))
