"""VGG loads the published and the converted weights, and normalizes pictures as they expect."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from lipsmith.models.vgg import VGG, load_vgg


def test_the_published_and_the_converted_weights_are_read(tmp_path: Path) -> None:
    vgg = VGG("vgg19")
    save_file(vgg.state_dict() | {"lin0": torch.ones(1)}, tmp_path / "vgg.safetensors")
    torch.save(vgg.state_dict() | {"classifier.0.bias": torch.ones(1)}, tmp_path / "vgg.pth")
    for name in ("vgg.safetensors", "vgg.pth"):
        found = load_vgg(tmp_path / name, "vgg19").state_dict()
        assert all(torch.equal(found[key], value) for key, value in vgg.state_dict().items())


def test_pictures_are_normalized_as_in_imagenet() -> None:
    vgg, seen = VGG(), []
    vgg.features[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    color = torch.tensor([0.485 + 0.229, 0.456, 0.406 - 0.225])  # red, green, blue
    vgg(color[None, :, None, None].expand(1, 3, 2, 2), (1,))
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([1.0, 0.0, -1.0]))
