"""Drawn mouths are kept for an interrupted training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landmark_clips import talking_clip
from lipsmith.data.clips import PreparedClip, read_manifest
from lipsmith.training.occlusion import pairs
from lipsmith.training.occlusion.config import OcclusionTraining
from lipsmith.training.occlusion.pairs import Pairs, drawn_pairs
from renderer_clips import prepared


def test_mouths_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def draw(clip: PreparedClip, speech: object, frames: int, *_: object) -> Pairs:
        drawn.append(clip.record.clip)
        filmed = np.full((frames, 32, 64, 3), len(drawn), np.uint8)
        return Pairs(filmed, filmed + 1, np.full((frames, 32, 64), 0.5, np.float32))

    monkeypatch.setattr(pairs, "_drawn", draw)
    monkeypatch.setattr(pairs, "load_backend", lambda _: None)
    data = prepared(tmp_path, [talking_clip(0, "p0"), talking_clip(1, "p1")])
    records, kept = read_manifest(data, "train"), tmp_path / "run" / "drawn"

    def of_clips(frames: int) -> list[Any]:
        found = drawn_pairs(data, records, OcclusionTraining(frames=frames), kept)
        return [[array.tolist() for array in pair] for pair in found]

    first = of_clips(4)
    assert len(drawn) == 2
    assert of_clips(4) == first
    assert len(drawn) == 2
    files = sorted(kept.iterdir())
    assert len(files) == 2
    files[0].write_bytes(files[0].read_bytes()[:100])
    of_clips(4)
    assert len(drawn) == 3
    of_clips(3)
    assert len(drawn) == 5
