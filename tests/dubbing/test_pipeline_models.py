"""Models by name and by folder, as the pipeline loads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from double import SIZES, Double
from lipsmith import Dubber
from lipsmith.errors import WeightsError
from lipsmith.inference.model_folder import write_config


def test_a_model_is_named_by_its_config_or_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paint.onnx").write_bytes(b"a network")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lipsmith.dubbing.pipeline.load_backend", lambda *_: Double())
    write_config(tmp_path, SIZES)
    assert Dubber.from_pretrained(".").config.name == tmp_path.name
    write_config(tmp_path, SIZES | {"name": "mine"})
    assert Dubber.from_pretrained(".").config.name == "mine"


def test_a_config_with_missing_settings_is_a_weights_error(tmp_path: Path) -> None:
    (tmp_path / "paint.onnx").write_bytes(b"a network")
    write_config(tmp_path, {key: value for key, value in SIZES.items() if key != "face_size"})
    with pytest.raises(WeightsError, match="face_size"):
        Dubber.from_pretrained(tmp_path)
