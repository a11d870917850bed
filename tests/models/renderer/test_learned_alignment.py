"""The learned alignment: its start, and a flow and weights set by hand."""

from __future__ import annotations

import torch

from lipsmith.models.renderer.alignment import References, Request
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.learned_alignment import LearnedAlignment

CONFIG = RendererConfig(face_size=32, top=12, full=4, fine=4, coarse=8, alignment="learned")


def aligned(bias: tuple[float, float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the aligned mean and the references' own rows, with a constant output of the head."""
    torch.manual_seed(0)
    network = LearnedAlignment(CONFIG).eval()
    with torch.no_grad():
        network.get_parameter("head.1.bias").copy_(torch.tensor(bias))
        references = References(
            torch.rand(2, 3, 3, 32, 32), torch.zeros(2, 3, 131, 2), torch.zeros(2, 3, 2, 2),
            torch.rand(2, 3, 4, 16, 16), torch.rand(2, 3, 8, 8, 8),
        )  # fmt: skip
        request = Request(
            torch.zeros(2, 131, 2), references.points, torch.rand(2, 5, 20, 32), torch.zeros(2, 3, 20, 32),
            torch.rand(2, 8, 5, 8),
        )  # fmt: skip
        found = network(request, torch.zeros(2, 2, 2), references)
    assert found.fine.shape == (2, 4, 10, 16)
    assert found.coarse.shape == (2, 8, 5, 8)
    assert found.warped.shape == (2, 3, 3, 20, 32)
    assert found.weight.shape == (2, 3, 5, 8)
    return found.image, references.images[..., 12:, :]


def test_an_untrained_alignment_gives_the_mean_of_the_references() -> None:
    image, references = aligned((0.0, 0.0, 0.0))
    assert torch.allclose(image, references.mean(1), atol=1e-5)


def test_a_flow_moves_all_references() -> None:
    unit = 1 / (32 * 0.03)  # one pixel
    image, references = aligned((2 * unit, 0.0, 1.0))
    assert torch.allclose(image[..., :-2], references[..., 2:].mean(1), atol=1e-4)
