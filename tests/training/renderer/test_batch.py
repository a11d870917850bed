"""What the loss compares, of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipsmith.models.lip_detector import LipDetector
from lipsmith.models.renderer.network import Rendered
from lipsmith.training.losses.lips import LIPS
from lipsmith.training.renderer.batch import compare
from lipsmith.training.renderer.sampler import Batch, Pictures


class Fixed(LipDetector):
    """Finds lips that depend on the picture alone."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def detect(self, crops: Tensor, around: Tensor) -> Tensor:
        return crops.mean((1, 2, 3))[:, None, None].expand(len(crops), 40, 2)


def test_lips_are_to_move_by_what_is_asked_beyond_what_the_truth_shows() -> None:
    shown, bright = torch.rand(1, 2, 131, 2), torch.full((1, 2, 3, 32, 32), 0.25)
    asked = shown.clone()
    asked[0, 1, LIPS] += torch.tensor([0.0, 0.03])
    targets = Pictures(bright, torch.zeros(1, 2, 5, 32, 32), asked, shown, torch.zeros(1, 2, 2, 2))
    batch = Batch(targets, targets, targets, torch.zeros(1, 2, 1, 80, 16), torch.zeros(1, 2, 2, dtype=torch.long))
    image = torch.full((2, 3, 32, 32), 0.75)
    found = compare(Rendered(image, image[..., 12:, :]), batch, 12, None, Fixed()).lips
    assert found is not None
    in_image, wanted = found
    assert torch.allclose(in_image, torch.full((2, 40, 2), 0.75))
    assert torch.allclose(wanted[0], torch.full((40, 2), 0.25), atol=1e-6)
    assert torch.allclose(wanted[1], torch.tensor([0.25, 0.28]).expand(40, 2), atol=1e-6)
