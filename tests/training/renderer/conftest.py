"""Fixtures of the tests of the renderer's training."""

from __future__ import annotations

from pathlib import Path

import pytest

from landmark_clips import talking_clip
from renderer_clips import prepared


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared clips of two people to train on and of one to validate on."""
    clips = [talking_clip(seed, f"p{seed}") for seed in range(2)] + [talking_clip(8, "v8", "val")]
    return prepared(tmp_path_factory.mktemp("prepared"), clips)
