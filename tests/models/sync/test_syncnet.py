"""The lip-sync network: unit embeddings of mouths and speech."""

from __future__ import annotations

import torch

from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig, windows

SMALL = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8, dropout=0.0)


def test_embeddings_lie_on_the_unit_sphere() -> None:
    net = SyncNet(SMALL).eval()
    with torch.no_grad():
        mouth, speech = net(torch.rand(3, 5, 3, 16, 32), torch.rand(2, 1, 80, 16) * 8 - 4)
    assert mouth.shape == (3, 8)
    assert speech.shape == (2, 8)
    torch.testing.assert_close(torch.cat([mouth, speech]).norm(dim=1), torch.ones(5))


def test_the_judge_uses_only_the_lower_half() -> None:
    net = SyncNet(SMALL).eval()
    crops = torch.rand(5, 3, 64, 64)
    changed = crops.clone()
    changed[:, :, :32] = 0
    torch.testing.assert_close(net.mouths(crops), net.mouths(changed))


def test_windows_are_centered() -> None:
    frames = torch.arange(7.0).reshape(7, 1, 1, 1).expand(7, 3, 2, 2)
    assert windows(frames)[1, :, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]
