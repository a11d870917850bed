import pytest
import torch
from torch.nn import functional as F

from lipsmith.models.blocks import Shuffle, Unshuffle


@pytest.mark.parametrize("side", [2, 4])
def test_pixels_are_moved_as_by_torch(side: int) -> None:
    picture, features = torch.randn(3, 5, 8, 12), torch.randn(3, 32, 3, 5)
    assert torch.equal(Unshuffle(side)(picture), F.pixel_unshuffle(picture, side))
    assert torch.equal(Shuffle(side)(features), F.pixel_shuffle(features, side))
