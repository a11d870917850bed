"""Augmentation of mouths and speech keeps shapes and ranges."""

from __future__ import annotations

import torch

from lipsmith.training.sync.augment import _similarity, augment_mel, augment_mouths


def test_augmentation_keeps_shapes_and_ranges() -> None:
    generator = torch.Generator().manual_seed(1)
    frames = augment_mouths(torch.rand(3, 6, 3, 16, 32), (12, 24), generator)
    mel = augment_mel(torch.rand(3, 4, 80, 16) * 8 - 4, generator)
    assert frames.shape == (3, 6, 3, 12, 24)
    assert mel.shape == (3, 4, 80, 16)
    assert 0 <= float(frames.min()) <= float(frames.max()) <= 1
    assert -4 <= float(mel.min()) <= float(mel.max()) <= 4


def test_mouths_are_turned_and_scaled_without_distortion() -> None:
    maps = _similarity(50, 2.0, torch.Generator().manual_seed(1))[:, :, :2]
    wide = torch.tensor([2.0, 1.0])  # from the range -1..1 on both axes to pixels of a picture twice as wide
    turned = maps * wide[:, None] / wide
    squared = turned.mT @ turned
    torch.testing.assert_close(squared, squared[:, :1, :1] * torch.eye(2), atol=1e-5, rtol=0)
    assert (turned.det() < 0).any()  # some are mirrored
    assert (turned.det() > 0).any()
