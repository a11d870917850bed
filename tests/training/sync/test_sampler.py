"""Stretches of footage and the speech around them."""

from __future__ import annotations

from pathlib import Path

import torch

from lipsmith.training.sync.sampler import SyncFootage, mel_start
from sync_clips import write_clips


def test_mel_windows_follow_the_convention() -> None:
    """At 25 fps the window of frame i starts at step 80 (i - 2) / 25."""
    assert mel_start(torch.tensor([2, 3, 7])).tolist() == [0, 3, 16]


def test_speech_outside_the_clip_is_marked(tmp_path: Path) -> None:
    write_clips(tmp_path, {"val": [0]})
    footage = SyncFootage(tmp_path, "val", torch.device("cpu"), 16)
    _, valid = footage.speech(torch.tensor([0]), torch.tensor([[1, 2, 30, 47, 48]]))
    assert valid.tolist() == [[False, True, True, True, False]]
