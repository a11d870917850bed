"""Fixtures of the tests of dubs."""

from __future__ import annotations

from pathlib import Path

import pytest

from double import SIZES, Double
from lipsmith.inference.model_folder import ModelFolder


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Double:
    """Load a stand-in for the networks instead of any model."""
    backend = Double()
    monkeypatch.setattr("lipsmith.dubbing.pipeline.find_model", lambda name: ModelFolder(tmp_path / name, SIZES))
    monkeypatch.setattr("lipsmith.dubbing.pipeline.load_backend", lambda *_: backend)
    return backend
