"""Stretches of footage and the speech around them."""

from __future__ import annotations

from pathlib import Path

import torch

from lipsmith.training.sync.sampler import SyncFootage, mel_start
from sync_clips import write_clips


def test_mel_windows_follow_the_convention() -> None:
    """At 25 fps the window of frame i starts at step 80 (i - 2) / 25."""
    assert mel_start(torch.tensor([2, 3, 7])).tolist() == [0, 3, 16]


def test_mouths_are_the_lower_halves_of_crops(tmp_path: Path) -> None:
    write_clips(tmp_path, {"val": [0]})
    mouths = SyncFootage(tmp_path, "val", torch.device("cpu"), 16).mouths.float()
    assert mouths.shape == (50, 16, 32, 3)
    assert mouths[:, 6:10, 10:22].std() > 30 > mouths[:, :2].std()


def test_speech_outside_the_clip_is_marked(tmp_path: Path) -> None:
    write_clips(tmp_path, {"val": [0]})
    footage = SyncFootage(tmp_path, "val", torch.device("cpu"), 16)
    _, valid = footage.speech(torch.tensor([0]), torch.tensor([[1, 2, 30, 47, 48]]))
    assert valid.tolist() == [[False, True, True, True, False]]


def test_a_stretch_has_the_speech_of_its_frames_corrected_by_the_lag_of_its_clip(tmp_path: Path) -> None:
    write_clips(tmp_path, {"val": [0, 0]}, frames=60)
    footage = SyncFootage(tmp_path, "val", torch.device("cpu"), 16)
    footage.mouths = torch.arange(120, dtype=torch.uint8)[:, None, None, None].expand(-1, 4, 8, 3)
    footage.mel = torch.arange(len(footage.mel)).half()[:, None].expand(-1, 80)
    footage.lag = torch.tensor([0.0, 2.0])
    drawn = footage.sample(30, 8, 3, torch.Generator().manual_seed(0))
    numbers = (255 * drawn.frames[:, :, 0, 0, 0]).round().long()
    clips = numbers[:, 0] // 60
    assert set(clips.tolist()) == {0, 1}
    assert (numbers.diff(dim=1) == 1).all()
    assert (numbers[:, -1] // 60 == clips).all()
    centers = numbers[:, 2:-2] - 60 * clips[:, None] + footage.lag[clips, None]
    in_sync = slice(3, -3)
    steps = drawn.mel[:, in_sync, 0].long() - footage.steps.first[clips, None, None]
    expected = mel_start(centers)[..., None] + torch.arange(16)
    assert torch.equal(steps[drawn.valid[:, in_sync]], expected[drawn.valid[:, in_sync]])
    assert drawn.valid[:, in_sync].float().mean() > 0.9
