"""Augmentation of mouths and speech keeps shapes and ranges."""

from __future__ import annotations

import torch

from lipsmith.training.sync.augment import augment_mel, augment_mouths


def test_augmentation_keeps_shapes_and_ranges() -> None:
    generator = torch.Generator().manual_seed(1)
    frames = augment_mouths(torch.rand(3, 6, 3, 16, 32), (12, 24), generator)
    mel = augment_mel(torch.rand(3, 4, 80, 16) * 8 - 4, generator)
    assert frames.shape == (3, 6, 3, 12, 24)
    assert mel.shape == (3, 4, 80, 16)
    assert 0 <= float(frames.min()) <= float(frames.max()) <= 1
    assert -4 <= float(mel.min()) <= float(mel.max()) <= 4
