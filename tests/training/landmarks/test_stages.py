"""The landmark generator is loaded from a training run or a model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipsmith.errors import WeightsError
from lipsmith.inference.model_folder import find_model, write_config
from lipsmith.training.landmarks.stages import load_stages


def test_a_shipped_model_provides_its_generator() -> None:
    stages, window, references = load_stages("fast", "cpu", 1)
    (tokens,) = stages("speech", mel=np.zeros((2, 1, 80, 16), np.float32))
    sizes = find_model("fast").config["landmarks"]
    assert (len(tokens), window, references) == (2, sizes["window"], sizes["references"])


def test_a_run_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "landmarks.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"no landmarks\.safetensors"):
        load_stages(str(tmp_path), "cpu")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path, {"kind": "sync"})
    with pytest.raises(WeightsError, match="no table 'landmarks'"):
        load_stages(str(tmp_path), "cpu")
