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
