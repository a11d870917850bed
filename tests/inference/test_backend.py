import math
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lipsmith.config import Device, parse_device
from lipsmith.errors import UsageError, WeightsError
from lipsmith.inference.model_folder import ModelFolder, checked_threads, cpu_quota, load_backend, usable_cores
from lipsmith.inference.onnx import OnnxBackend, cuda_is_available
from lipsmith.inference.torch import torch_device


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose stage `paint` adds its inputs `target` and `mel`."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("target", "mel")]
    outputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph([helper.make_node("Add", ["target", "mel"], ["image"])], "sum", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "paint.onnx")
    return tmp_path


def test_a_stage_is_called_by_the_names_of_its_inputs(folder: Path) -> None:
    backend = load_backend(ModelFolder(folder, {}), "cpu", 1)
    one, two = np.ones(3, np.float32), np.array([1, 2, 3], np.float32)
    (image,) = backend("paint", mel=two, target=one, points=one)
    assert image.tolist() == [2, 3, 4]
    assert re.fullmatch(r"ONNX Runtime \S+, CPU, float", backend.name)


def test_a_stage_that_wants_other_inputs_is_refused(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"paint\.onnx is of another version of lipsmith; export or adapt"):
        load_backend(ModelFolder(folder, {}), "cpu", 1)("paint", target=np.ones(3, np.float32))


def test_the_choice_is_logged_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "lipsmith"):
        load_backend(ModelFolder(folder, {}), "cpu", 2)
    assert len(caplog.messages) == 1
    assert "ONNX Runtime" in caplog.text


def test_other_types_and_layouts_are_converted(folder: Path) -> None:
    backend = OnnxBackend(folder, "cpu")
    strided = np.arange(6.0)[::2]
    (image,) = backend("paint", target=strided, mel=strided)  # type: ignore[arg-type]
    assert image.dtype == np.float32
    assert image.tolist() == [0, 4, 8]


def test_a_device_is_a_word_or_the_number_of_a_gpu() -> None:
    words = ("auto", "cpu", "cuda", "cuda:0", "cuda:12")
    assert [parse_device(word) for word in words] == [
        Device("auto", None),
        Device("cpu", None),
        Device("cuda", None),
        Device("cuda", 0),
        Device("cuda", 12),
    ]


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:", "cpu:1", "CPU", ""])
def test_an_unknown_device_is_a_usage_error(folder: Path, device: str) -> None:
    with pytest.raises(UsageError, match="unknown"):
        load_backend(ModelFolder(folder, {}), device)
    with pytest.raises(UsageError, match="unknown"):
        OnnxBackend(folder, device)
    with pytest.raises(UsageError, match="unknown"):
        torch_device(device)


@pytest.mark.skipif(cuda_is_available(), reason="this machine has CUDA")
def test_a_missing_device_is_a_usage_error(folder: Path) -> None:
    with pytest.raises(UsageError, match="cuda:7"):
        load_backend(ModelFolder(folder, {}), "cuda:7")


@pytest.mark.skipif(cuda_is_available(), reason="this machine has CUDA")
def test_a_cuda_build_without_a_gpu_falls_back_to_the_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built_for = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: built_for)
    with pytest.raises(UsageError, match="cuda:7"):
        load_backend(ModelFolder(folder, {}), "cuda:7")
    assert "CPU" in load_backend(ModelFolder(folder, {}), "auto").name


def test_a_folder_without_stages_is_a_weights_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no stage"):
        load_backend(ModelFolder(tmp_path, {}))


def test_a_missing_or_damaged_stage_is_a_weights_error(folder: Path) -> None:
    backend = OnnxBackend(folder, "cpu")
    with pytest.raises(WeightsError, match="missing"):
        backend("lip")
    (folder / "lip.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="cannot read"):
        backend("lip")


def test_torch_stages_are_called_by_name_and_return_tuples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    class Doubling(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, mel: object) -> object:
            return 2 * mel  # type: ignore[operator]

    stages = ModuleType("lipsmith.inference.stages")
    stages.load_stages = lambda folder: {"speech": Doubling()}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lipsmith.inference.stages", stages)
    (tmp_path / "model.safetensors").touch()
    backend = load_backend(ModelFolder(tmp_path, {}), "cpu", 1)
    (tokens,) = backend("speech", mel=np.ones((2, 3), np.float32)[:, ::2])
    assert tokens.tolist() == [[2, 2], [2, 2]]
    assert backend.name.startswith("torch")


def test_a_model_of_an_older_version_is_named(folder: Path) -> None:
    (folder / "paint.onnx").rename(folder / "render.onnx")
    with pytest.raises(WeightsError, match="older version"):
        load_backend(ModelFolder(folder, {}), "cpu")


def test_threads_may_be_of_numpy() -> None:
    assert type(checked_threads(np.int64(2))) is int  # type: ignore[arg-type]  # libraries refuse other kinds
    for threads in (0, 1025, 1.0, "2"):
        with pytest.raises(UsageError, match="give 1 to 1024"):
            checked_threads(threads)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("group", "limit", "expected"),
    [
        ("0::/", "150000 100000", 1.5),
        ("1:name=systemd:/\n0::/system.slice/lipsmith.service", "50000 100000", 0.5),
        ("0::/", "max 100000", math.inf),
        ("0::/", "", math.inf),
        ("", None, math.inf),
        ("0::/", None, math.inf),
    ],
)
def test_the_quota_of_a_container_is_read(tmp_path: Path, group: str, limit: str | None, expected: float) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(f"{group}\n")
    if limit is not None:
        folder = tmp_path / "sys" / "fs" / "cgroup" / group.rpartition("0::/")[2]
        folder.mkdir(parents=True)
        (folder / "cpu.max").write_text(f"{limit}\n")
    assert cpu_quota(tmp_path) == expected


@pytest.mark.parametrize(("quota", "cores"), [(0.5, 1), (1.5, 2), (math.inf, 8)])
def test_no_more_cores_are_used_than_the_quota_grants(
    monkeypatch: pytest.MonkeyPatch, quota: float, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr("lipsmith.inference.model_folder.cpu_quota", lambda root: quota)
    assert usable_cores() == cores
