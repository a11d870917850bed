"""Fixtures of the tests of evaluations."""

from __future__ import annotations

from pathlib import Path

import pytest

from landmark_clips import talking_clip, write_clips


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three prepared clips whose speech is early, right and late."""
    lags = {"early": -0.16, "right": 0.0, "late": 0.12}
    clips = [talking_clip(seed, name, "val", 100, lag) for seed, (name, lag) in enumerate(lags.items())]
    write_clips(tmp_path, clips)
    return tmp_path
