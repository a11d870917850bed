"""The network that finds what lies before a face."""

from __future__ import annotations

import pytest
import torch

from lipsmith.models.occlusion import OcclusionConfig, OcclusionNetwork, OcclusionStage


def test_every_cell_gets_a_probability() -> None:
    torch.manual_seed(0)
    network = OcclusionNetwork(OcclusionConfig((4, 6, 8))).eval()
    pictures = torch.rand(2, 6, 8, 16)
    found = OcclusionStage(network)(pictures)
    assert found.shape == (2, 8, 16)
    assert torch.allclose(found, torch.sigmoid(network(pictures)))


def test_it_sees_both_pictures() -> None:
    torch.manual_seed(0)
    network = OcclusionNetwork(OcclusionConfig((4, 6))).eval()
    pictures = torch.rand(1, 6, 8, 16, requires_grad=True)
    network(pictures)[0, 4, 8].backward()
    assert pictures.grad is not None
    assert (pictures.grad[0].abs().sum((1, 2)) > 0).all()


@pytest.mark.parametrize("count", [1, 7])
def test_pictures_limit_the_number_of_widths(count: int) -> None:
    with pytest.raises(ValueError, match="2 to 6 widths"):
        OcclusionConfig((4,) * count)


def test_the_most_widths_fit_a_lower_half() -> None:
    network = OcclusionNetwork(OcclusionConfig((4,) * 6)).eval()
    assert network(torch.rand(1, 6, 32, 64)).shape == (1, 32, 64)
