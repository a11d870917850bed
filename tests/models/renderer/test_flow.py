import pytest
import torch
from torch.nn import functional as F

from lipsmith.models.renderer import flow


@pytest.mark.parametrize("size", [(12, 20), (9, 25), (3, 5)])
def test_the_exported_interpolation_is_that_of_torch(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.randn(2, 4, 3, 5)
    expected = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    assert torch.equal(flow.interpolate(maps, size), expected)
    monkeypatch.setattr(flow, "is_exporting", lambda: True)
    torch.testing.assert_close(flow.interpolate(maps, size), expected)


def test_positions_that_are_not_numbers_are_taken_for_the_edge() -> None:
    """On a CPU, torch reads and writes gradients at them anywhere in memory."""
    features = torch.randn(2, 3, 16, 16, requires_grad=True)
    nowhere = torch.full((2, 8, 8, 2), torch.nan, requires_grad=True)
    warped = flow.warp(features, nowhere)
    warped.sum().backward()
    assert torch.equal(warped, features[:, :, :1, :1].expand_as(warped))
    assert features.grad is not None
    assert nowhere.grad is not None
    assert features.grad[:, :, 0, 0].tolist() == [[64.0] * 3] * 2
    assert nowhere.grad.isfinite().all()
