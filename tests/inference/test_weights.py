"""Weights are stored in half precision where that costs no accuracy; what cannot be read is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from lipsmith.errors import WeightsError  # noqa: E402
from lipsmith.inference.stages import load_networks  # noqa: E402
from lipsmith.inference.weights import WEIGHTS, halved, of_network, read_weights, with_weights, write_tensors  # noqa: E402


def test_matrices_are_stored_in_half_precision_and_vectors_as_they_are(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 3)
    write_tensors(tmp_path / WEIGHTS, halved(network.state_dict()))
    stored = read_weights(tmp_path / WEIGHTS)
    assert (stored["weight"].dtype, stored["bias"].dtype) == (torch.float16, torch.float32)
    read = with_weights(torch.nn.Linear(2, 3), tmp_path / WEIGHTS)
    assert torch.equal(read.bias, network.bias)
    assert torch.equal(read.weight, network.weight.half().float())


def test_a_network_has_its_own_weights_of_a_model() -> None:
    weights = {"renderer.a": torch.zeros(1), "landmarks.a": torch.ones(1)}
    assert of_network(weights, "landmarks") == {"a": torch.ones(1)}


@pytest.mark.parametrize("damaged", ["config.json", WEIGHTS])
def test_a_damaged_file_of_a_model_is_named(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    write_tensors(tmp_path / WEIGHTS, {})
    (tmp_path / damaged).write_bytes(b"no content")
    with pytest.raises(WeightsError, match=f"{damaged} is missing or damaged"):
        load_networks(tmp_path)
