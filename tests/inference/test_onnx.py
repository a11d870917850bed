"""Which stages a CPU gets."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipsmith.errors import UsageError, WeightsError
from lipsmith.inference import onnx as onnx_backend
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import SHIPPED, ModelFolder, load_backend
from lipsmith.inference.onnx import INT8, OnnxBackend, is_faster, open_session


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


def drawn(backend: Backend) -> float:
    one = np.ones((1, 1), np.float32)
    found = {float(backend(name, target=3 * one, mel=one)[0][0, 0]) for name in INT8}
    assert len(found) == 1
    return found.pop()


def test_a_model_in_another_process_is_to_be_loaded_there(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"belongs to one process; load it in each \(Dubber\.from_pretrained\)"):
        pickle.dumps(OnnxBackend(folder, "cpu"))


@pytest.mark.parametrize("file", INT8.values())
def test_two_products_of_shipped_8_bit_weights_fit_16_bits(file: str) -> None:
    tensors = [numpy_helper.to_array(tensor) for tensor in onnx.load(SHIPPED / "fast" / file).graph.initializer]
    weights = [tensor for tensor in tensors if tensor.dtype == np.int8 and tensor.ndim == 4]
    assert len(weights) > 10
    most = max(int(abs(tensor.astype(int)).max()) for tensor in weights)
    assert 2 * 255 * most <= np.iinfo(np.int16).max


@pytest.mark.parametrize("faster", [True, False])
def test_auto_selects_int8_if_it_is_faster(folder: Path, monkeypatch: pytest.MonkeyPatch, faster: bool) -> None:
    monkeypatch.setattr(onnx_backend, "is_faster", lambda one, other: faster)
    backend = load_backend(ModelFolder(folder, {}), "cpu", 1, "auto")
    assert drawn(backend) == (2 if faster else 4)
    assert backend.name.endswith("int8" if faster else "float")


def test_precisions_are_measured_once_a_process_until_the_model_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [True, False]
    monkeypatch.setattr(onnx_backend, "is_faster", lambda one, other: answers.pop(0))
    assert [drawn(OnnxBackend(folder, "cpu", precision="auto")) for _ in range(2)] == [2, 2]
    os.utime(folder / INT8["align"], (0, 0))
    assert [drawn(OnnxBackend(folder, "cpu", precision="auto")) for _ in range(2)] == [4, 4]
    assert drawn(OnnxBackend(folder, "cpu", precision="int8")) == 2
    assert answers == []


@pytest.mark.parametrize(("precision", "expected"), [("float", 4), ("int8", 2)])
def test_a_requested_precision_is_used(folder: Path, precision: Any, expected: int) -> None:  # noqa: ANN401 - a Literal
    assert drawn(OnnxBackend(folder, "cpu", precision=precision)) == expected


def test_a_model_without_an_8_bit_stage_uses_float(folder: Path) -> None:
    (folder / INT8["paint"]).unlink()
    assert drawn(OnnxBackend(folder, "cpu", precision="auto")) == 4
    with pytest.raises(UsageError, match="lipsmith quantize"):
        OnnxBackend(folder, "cpu", precision="int8")


def test_a_damaged_8_bit_stage_is_reported_once_it_is_needed(folder: Path) -> None:
    (folder / INT8["paint"]).write_bytes(b"no stage")
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
            assert inputs["target"].shape == (1, 3, 5)
            end = time.thread_time() + self.seconds.pop(0)
            while time.thread_time() < end:
                pass

    assert is_faster(Session(0.05, 0.001), Session(0.001, 0.01))
    assert not is_faster(Session(0.001, 0.01), Session(0.05, 0.001))


def test_a_missing_stage_is_not_called_damaged(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"speech\.onnx: the stage is missing; fetch the model again"):
        OnnxBackend(folder, "cpu")("speech", mel=np.ones((1, 1), np.float32))


class Opened:
    """Stands for the sessions of ONNX Runtime, and notes how each was opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.devices: set[int] = set()
        monkeypatch.setattr("onnxruntime.InferenceSession", self._open)

    def _open(self, path: str, options: Any, providers: list[Any]) -> SimpleNamespace:  # noqa: ANN401 - untyped
        names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
        self.devices |= {provider[1]["device_id"] for provider in providers if not isinstance(provider, str)}
        return SimpleNamespace(get_inputs=list, get_providers=lambda: names, run=lambda names, inputs: [])


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:3", 3), ("auto", 0)])
def test_a_model_runs_on_the_gpu_of_that_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch, device: str, index: int
) -> None:
    monkeypatch.setattr(onnx_backend, "cuda_is_available", lambda: True)
    opened = Opened(monkeypatch)
    assert f" cuda:{index}, " in OnnxBackend(folder, device).name
    assert opened.devices == {index}


def test_threads_that_need_a_stage_at_the_same_time_open_it_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_slowly(*given: Any) -> Any:  # noqa: ANN401 - untyped
        opened.append(given[0])
        with suppress(BrokenBarrierError):
            both.wait(0.2)
        return open_session(*given)

    opened: list[Path] = []
    both, one = Barrier(2), np.ones((1, 1), np.float32)
    monkeypatch.setattr(onnx_backend, "open_session", open_slowly)
    backend = OnnxBackend(folder, "cpu")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: backend("paint", target=one, mel=one), range(2)))
    assert opened == [folder / "paint.onnx"]
    assert [float(image[0, 0]) for (image,) in found] == [2, 2]


def test_a_session_has_one_thread_and_keeps_no_memory_for_each_number_of_frames(folder: Path) -> None:
    options = open_session(folder / "paint.onnx").get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert not options.enable_mem_pattern


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from lipsmith.inference.onnx import open_session
def megabytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
one = {"given": np.ones(1, np.float32)}
sessions = [open_session(Path(sys.argv[1])) for _ in range(6)]
before = megabytes()
for session in sessions:
    for size in (8_000_000, 16_000_000):
        session.run(None, one | {"size": np.array([size])})
print(megabytes() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems count memory in other ways")
def test_sessions_share_the_memory_of_what_lies_between_operators(tmp_path: Path) -> None:
    """Six use 64 MB each, one after the other, in two sizes."""
    inputs = [
        helper.make_tensor_value_info("given", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("size", TensorProto.INT64, [1]),
    ]
    nodes = [
        helper.make_node("Expand", ["given", "size"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
    ]
    outputs = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [])]
    graph = helper.make_graph(nodes, "one", inputs, outputs)
    path = tmp_path / "stage.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    done = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200
