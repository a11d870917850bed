"""Windows of footage: where they lie, and where their references come from."""

from __future__ import annotations

import numpy as np
import torch

from landmark_clips import talking_clip
from lipsmith.training.landmarks.sampler import ReferenceRules, draw, gather_footage, tracked_windows


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_windows_hold_no_frame_without_a_face() -> None:
    tracked = np.array([True, True, False, True, True, True])
    assert tracked_windows(tracked, 2).tolist() == [0, 3, 4]


def test_references_lie_in_the_half_away_from_the_window() -> None:
    clip = talking_clip(0, "a", frames=60)
    clip.landmarks[:30, 0, 0] = 0.0
    clip.landmarks[30:, 0, 0] = 1.0
    rules = ReferenceRules(away=1.0, sibling=0.0)
    batch = draw(gather_footage([clip], 12), 64, 12, 3, rules, generator())
    halves = batch.points[:, :, 0, 0].mean(1)
    sides = batch.references[:, :, 0, 0].mean(1)
    assert ((halves < 0.5) == (sides == 1.0))[halves != 0.5].all()


def test_siblings_lend_references() -> None:
    clips = [talking_clip(0, "a"), talking_clip(1, "a"), talking_clip(2, "b")]
    for number, clip in enumerate(clips):
        clip.landmarks[:, 0, 0] = number
    batch = draw(gather_footage(clips, 12), 64, 12, 3, ReferenceRules(away=0.0, sibling=1.0), generator())
    own, lent = batch.points[:, 0, 0, 0], batch.references[:, 0, 0, 0]
    assert ((own == 2) == (lent == 2)).all()
    assert (own != lent).any()
