"""The landmark generator is loaded from a training run or a model folder."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lipsmith.errors import UsageError, WeightsError
from lipsmith.inference.model_folder import find_model, networks_of_run, write_config
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import build_landmark_generator
from lipsmith.training.checkpoint import load_initial_weights
from lipsmith.training.landmarks.stages import load_generator

TINY = LandmarkConfig(dim=8, layers=1, heads=1, feed_forward=8, speech_channels=(4, 4, 4, 4, 4), point_channels=(4, 4))


def test_a_shipped_model_provides_its_generator() -> None:
    stages, window, references = load_generator("fast", "cpu", 1)
    (tokens,) = stages("speech", mel=np.zeros((2, 1, 80, 16), np.float32))
    sizes = find_model("fast").config["landmarks"]
    assert (len(tokens), window, references) == (2, sizes["window"], sizes["references"])


def test_a_run_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "landmarks.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"no landmarks\.safetensors"):
        load_generator(str(tmp_path), "cpu")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path, {"kind": "sync"})
    with pytest.raises(WeightsError, match="no table 'landmarks'"):
        load_generator(str(tmp_path), "cpu")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a training run with a tiny network."""
    save_file(build_landmark_generator(TINY).state_dict(), tmp_path / "landmarks.safetensors")
    (tmp_path / "landmarks.json").write_text(json.dumps({"training": {"model": asdict(TINY)}}))
    return tmp_path


def test_a_run_provides_its_generator(run: Path) -> None:
    stages, window, references = load_generator(str(run), "auto", 1)
    (tokens,) = stages("speech", mel=np.zeros((2, 1, 80, 16), np.float32))
    assert (tokens.shape, window, references) == ((2, 8), TINY.window, TINY.references)


def test_the_name_of_a_model_comes_before_a_run_of_that_name(
    run: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("runs"))
    run.rename("fast")
    assert networks_of_run("fast") == []
    assert networks_of_run("./fast") == ["landmarks"]
    assert load_generator("fast", "cpu", 1).window == find_model("fast").config["window"]
    assert load_generator("./fast", "cpu", 1).window == TINY.window
    network = build_landmark_generator(TINY)
    load_initial_weights(network, "./fast", "landmarks")
    with pytest.raises(UsageError, match="another architecture"):
        load_initial_weights(network, "fast", "landmarks")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_run_on_a_gpu_that_is_missing_is_refused(run: Path) -> None:
    with pytest.raises(UsageError, match=r"cuda: torch finds no such GPU"):
        load_generator(str(run), "cuda")


def test_a_damaged_run_is_refused(run: Path) -> None:
    weights, card = run / "landmarks.safetensors", run / "landmarks.json"
    told = card.read_text()
    card.write_text(json.dumps({"training": {"model": asdict(replace(TINY, dim=16))}}))
    with pytest.raises(WeightsError, match=r"landmarks\.safetensors does not match the config"):
        load_generator(str(run), "cpu")
    card.write_text(told[:20])
    with pytest.raises(WeightsError, match=r"landmarks\.json is not the card of a training run"):
        load_generator(str(run), "cpu")
    card.write_text(told)
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"landmarks\.safetensors is missing or damaged"):
        load_generator(str(run), "cpu")
