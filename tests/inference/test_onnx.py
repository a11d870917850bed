"""Which stages a CPU gets."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lipsmith.errors import UsageError, WeightsError
from lipsmith.inference import onnx as onnx_backend
from lipsmith.inference.model_folder import ModelFolder, load_backend
from lipsmith.inference.onnx import INT8, OnnxBackend, is_faster, multiplies_exactly


def stage(path: Path, operator: str) -> None:
    """A stage that adds or subtracts its inputs."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "k"]) for name in ("target", "mel")]
    outputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", "k"])]
    graph = helper.make_graph([helper.make_node(operator, ["target", "mel"], ["image"])], "one", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose float stages add and whose 8-bit stages subtract."""
    for name, file in INT8.items():
        stage(tmp_path / f"{name}.onnx", "Add")
        stage(tmp_path / file, "Sub")
    return tmp_path


def drawn(backend: OnnxBackend) -> float:
    one = np.ones((1, 1), np.float32)
    found = {float(backend(name, target=3 * one, mel=one)[0][0, 0]) for name in INT8}
    assert len(found) == 1
    return found.pop()


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="only Linux lists the features of its processor")
def test_products_of_8_bits_are_exact_with_vnni_only() -> None:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    if "avx2" not in flags:
        pytest.skip("the features of this processor have other names")
    assert multiplies_exactly() == (not flags.isdisjoint({"avx512_vnni", "avx_vnni"}))


@pytest.mark.parametrize(("exact", "faster"), [(True, True), (True, False), (False, True)])
def test_auto_selects_int8_if_it_is_exact_and_faster(
    folder: Path, monkeypatch: pytest.MonkeyPatch, exact: bool, faster: bool
) -> None:
    monkeypatch.setattr(onnx_backend, "multiplies_exactly", lambda: exact)
    monkeypatch.setattr(onnx_backend, "is_faster", lambda one, other: faster)
    backend = load_backend(ModelFolder(folder, {}), "cpu", 1, (), "auto")
    taken = exact and faster
    assert drawn(backend) == (2 if taken else 4)
    assert backend.name.endswith("int8" if taken else "float")


def test_precisions_are_measured_once_a_process_until_the_model_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [True, False]
    monkeypatch.setattr(onnx_backend, "multiplies_exactly", lambda: True)
    monkeypatch.setattr(onnx_backend, "is_faster", lambda one, other: answers.pop(0))
    assert [drawn(OnnxBackend(folder, "cpu", precision="auto")) for _ in range(2)] == [2, 2]
    os.utime(folder / INT8["align"], (0, 0))
    assert [drawn(OnnxBackend(folder, "cpu", precision="auto")) for _ in range(2)] == [4, 4]
    assert drawn(OnnxBackend(folder, "cpu", precision="int8")) == 2
    assert answers == []


@pytest.mark.parametrize(("precision", "expected"), [("float", 4), ("int8", 2)])
def test_a_requested_precision_is_used(folder: Path, precision: Any, expected: int) -> None:  # noqa: ANN401 - a Literal
    assert drawn(OnnxBackend(folder, "cpu", precision=precision)) == expected


def test_a_model_without_an_8_bit_stage_uses_float(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / INT8["paint"]).unlink()
    monkeypatch.setattr(onnx_backend, "multiplies_exactly", lambda: True)
    assert drawn(OnnxBackend(folder, "cpu", precision="auto")) == 4
    with pytest.raises(UsageError, match="lipsmith quantize"):
        OnnxBackend(folder, "cpu", precision="int8")


def test_a_damaged_8_bit_stage_is_reported_once_it_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / INT8["paint"]).write_bytes(b"no stage")
    monkeypatch.setattr(onnx_backend, "multiplies_exactly", lambda: True)
    backend = OnnxBackend(folder, "cpu", precision="auto")
    with pytest.raises(WeightsError, match=r"paint\.int8\.onnx"):
        drawn(backend)


def test_speed_is_cpu_time_of_the_frames_after_the_first() -> None:
    class Session:
        def __init__(self, first: float, later: float) -> None:
            self.seconds = [first, later, later]

        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="target", shape=["b", 3, "k"])]

        def run(self, _: None, inputs: dict[str, np.ndarray]) -> None:
            assert inputs["target"].shape == (1, 3, 8)
            end = time.thread_time() + self.seconds.pop(0)
            while time.thread_time() < end:
                pass

    assert is_faster(Session(0.05, 0.001), Session(0.001, 0.01))
    assert not is_faster(Session(0.001, 0.01), Session(0.05, 0.001))
