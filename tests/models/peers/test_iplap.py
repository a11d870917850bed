"""IP_LAP's renderer: zero flow, the weighted mean, the masked half."""

from __future__ import annotations

import torch

from lipsmith.models.peers.config import IplapConfig
from lipsmith.models.peers.iplap import IplapRenderer

TINY = IplapConfig(width=0.01, face_size=16, sketch_channels=2)


def network() -> IplapRenderer:
    torch.manual_seed(0)
    return IplapRenderer(TINY).eval()


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.rand(2, 3, 16, 16), torch.rand(2, 5, 16, 16), torch.rand(2, 1, 80, 16)


@torch.no_grad()
def test_zero_flow_with_equal_weights_gives_the_mean_of_the_references() -> None:
    net = network()
    for parameter in (*net.align.flow.parameters(), *net.align.weight[2].parameters()):
        parameter.zero_()
    images = torch.rand(2, 3, 3, 16, 16)
    warped = net.align(net.encode(images, torch.rand(2, 3, 1, 16, 16)), inputs()[1])
    assert torch.allclose(warped.image, images.mean(1), atol=1e-4)


@torch.no_grad()
def test_a_flow_in_pixels_moves_the_reference() -> None:
    net = network()
    for parameter in (*net.align.flow.parameters(), *net.align.weight[2].parameters()):
        parameter.zero_()
    net.align.flow.get_parameter("bias").copy_(torch.tensor([2.0, 0.0]))
    images = torch.rand(2, 1, 3, 16, 16)
    warped = net.align(net.encode(images, torch.rand(2, 1, 1, 16, 16)), inputs()[1])
    assert torch.allclose(warped.image[..., :14], images[:, 0, ..., 2:], atol=1e-4)


@torch.no_grad()
def test_references_are_told_apart_and_targets_share_no_modulation() -> None:
    net, (target, sketches, mel) = network(), inputs()
    images, drawn = torch.rand(2, 3, 3, 16, 16), torch.rand(2, 3, 1, 16, 16)
    together, _ = net(target, sketches, mel, net.encode(images, drawn))
    for at in range(2):
        part = slice(at, at + 1)
        alone, _ = net(target[part], sketches[part], mel[part], net.encode(images[part], drawn[part]))
        assert torch.allclose(together[part], alone, atol=1e-5)


@torch.no_grad()
def test_the_lower_half_of_the_target_does_not_matter() -> None:
    net, (target, sketches, mel) = network(), inputs()
    references = net.encode(torch.rand(2, 1, 3, 16, 16), torch.rand(2, 1, 1, 16, 16))
    other = target.clone()
    other[:, :, 8:] = 1 - other[:, :, 8:]
    image, _ = net(target, sketches, mel, references)
    assert torch.equal(image, net(other, sketches, mel, references)[0])
    other[:, :, 7] = 1 - other[:, :, 7]
    assert not torch.equal(image, net(other, sketches, mel, references)[0])
