"""The 8-bit stages: float parts, comparison of pictures, and errors."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from double import Double
from lipsmith.errors import InputError, UsageError, WeightsError
from lipsmith.files import write_whole
from lipsmith.inference.model_folder import find_model, write_config
from lipsmith.inference.onnx import INT8, open_session

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")

from landmark_clips import talking_clip  # noqa: E402
from lipsmith.inference.stages import renderer_stages  # noqa: E402
from lipsmith.inference.torch import TorchBackend  # noqa: E402
from lipsmith.models.renderer.alignment import CUES  # noqa: E402
from lipsmith.models.renderer.network import Renderer  # noqa: E402
from lipsmith.release import quantize as module  # noqa: E402
from lipsmith.release.export import OPSET  # noqa: E402
from lipsmith.release.quantize import Accuracy, Sample, compare, quantize, samples  # noqa: E402
from renderer_clips import SIZE, SMALL, prepared, write_model  # noqa: E402


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for stage in INT8:
        (folder / f"{stage}.onnx").write_bytes(b"a stage")
    write_config(folder, {"name": "tiny", "face_size": 4, "references_per_frame": 2, "lips": 1, "window": 5})
    return folder


def test_convolutions_of_flow_picture_and_cues_stay_float(tmp_path: Path) -> None:
    channels = {"renderer.decoder.head.1/conv": 12, "renderer.masked_encoder.1/conv": 12, "/conv": CUES}
    nodes = [
        onnx.helper.make_node("Conv", ["x", f"of {name}"], [f"y{place}"], name=name)
        for place, name in enumerate(channels)
    ]
    nodes.append(onnx.helper.make_node("Relu", ["y1"], ["z"], name="relu"))
    stored = [
        onnx.numpy_helper.from_array(np.zeros((1, count, 3, 3), np.float32), f"of {name}")
        for name, count in channels.items()
    ]
    graph = onnx.helper.make_graph(nodes, "convolutions", [], [], stored)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "stage.onnx")
    assert module._kept_float(tmp_path / "stage.onnx") == ["renderer.decoder.head.1/conv", "/conv"]


def test_convolutions_become_8_bit_and_compute_nearly_the_same(tmp_path: Path) -> None:
    random, kind = np.random.default_rng(0), onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(random.standard_normal((4, 3, 3, 3)).astype(np.float32), "weight")
    doubled = onnx.helper.make_node("Add", ["weight", "weight"], ["doubled"])  # known without any input
    nodes = [
        doubled,
        onnx.helper.make_node("Conv", ["image", "doubled"], ["sum"], name="conv", pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Relu", ["sum"], ["drawn"], name="relu"),
    ]
    given, drawn = (
        onnx.helper.make_tensor_value_info(name, kind, ["n", channels, 8, 8])
        for name, channels in (("image", 3), ("drawn", 4))
    )
    graph = onnx.helper.make_graph(nodes, "stage", [given], [drawn], [weight])
    opset = [onnx.helper.make_opsetid("", OPSET)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "stage.onnx")
    inputs = {"image": random.random((2, 3, 8, 8), np.float32), "of another stage": np.zeros(1, np.float32)}
    module._write(tmp_path / "stage.onnx", [inputs], tmp_path / "small.onnx")
    exact, small = (
        open_session(tmp_path / f"{name}.onnx").run(None, {"image": inputs["image"]})[0] for name in ("stage", "small")
    )
    assert 0 < np.abs(small - exact).max() < 0.02 * np.abs(exact).max()
    stored = {tensor.data_type for tensor in onnx.load(tmp_path / "small.onnx").graph.initializer if tensor.dims}
    assert onnx.TensorProto.INT8 in stored


def test_each_person_gives_frames_of_the_second_half_of_a_clip(tmp_path: Path) -> None:
    clips = [talking_clip(0, "a"), talking_clip(1, "b"), talking_clip(2, "short", frames=30)]
    folder = find_model(write_model(tmp_path / "tiny"))
    found = list(samples(folder, prepared(tmp_path / "data", clips), "train", people=6, frames=2))
    assert [len(sample.truth) for sample in found] == 5 * [2]  # the sixth would be of the clip that is too short
    frames = [round(shown[-1, -1].mean() / 3) for sample in found for shown in sample.truth]  # brightness is the number
    assert len(set(frames[:6])) == 6
    assert min(frames) >= 34
    backend = TorchBackend(renderer_stages(Renderer(SMALL.model)), "cpu")
    assert found[0].draw(backend).shape == (2, SIZE, SIZE, 3)
    with pytest.raises(InputError, match="none of the tested clips of the split val lasts two seconds"):
        list(samples(folder, prepared(tmp_path / "short", [talking_clip(3, "d", "val", 30)]), "val", 6, 2))


def test_pictures_are_compared_in_the_rendered_half(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = np.full((2, 4, 4, 3), 100, np.uint8)
    rough = exact.copy()
    rough[:, 2:] += 3
    rough[:, :2] += 90
    monkeypatch.setattr(module, "load_lpips", lambda _: None)
    found = {
        "float": SimpleNamespace(distances=np.array([0.1, 0.3])),
        "int8": SimpleNamespace(distances=np.array([0.2, 0.3])),
    }
    monkeypatch.setattr(module, "lpips", lambda *_: found)
    one, other = Double(), Double()
    result = compare(one, other, [Sample(lambda backend: exact if backend is one else rough, exact)])
    assert result.psnr == pytest.approx(20 * np.log10(255 / 3))
    assert result.lpips == pytest.approx(1.25)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the faces and the quantization by stand-ins."""
    monkeypatch.setattr(module, "samples", lambda *_: iter([]))
    monkeypatch.setattr(module, "_write", lambda stage, inputs, out: out.write_bytes(b"small"))
    for backend in ("load_backend", "OnnxBackend"):
        monkeypatch.setattr(module, backend, lambda *_, **__: Double())


@pytest.mark.usefixtures("quick")
def test_an_accurate_stage_is_added_to_the_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "compare", lambda *_: Accuracy(44.0, 1.01))
    assert quantize(model, Path("data")).psnr == 44.0
    assert set(find_model(model).config["files"]) == {"align.onnx", "paint.onnx", *INT8.values()}


@pytest.mark.usefixtures("quick")
def test_the_log_names_the_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend logs the name of its folder, which is a temporary one for the trial."""
    opened: list[str] = []
    monkeypatch.setattr(module, "OnnxBackend", lambda folder, *_, **__: opened.append(folder.name))
    monkeypatch.setattr(module, "compare", lambda *_: Accuracy(44.0, 1.01))
    quantize(model.rename(model.with_name("mine")), Path("data"))
    assert opened == ["mine"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("found", [Accuracy(43.9, 1.0), Accuracy(50.0, 1.011)])
def test_an_inaccurate_stage_is_not_written(model: Path, monkeypatch: pytest.MonkeyPatch, found: Accuracy) -> None:
    monkeypatch.setattr(module, "compare", lambda *_: found)
    with pytest.raises(WeightsError, match="dub with float"):
        quantize(model, Path("data"))
    assert sorted(path.name for path in model.iterdir()) == ["align.onnx", "config.json", "paint.onnx"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("written", [0, 1])
def test_a_model_can_be_used_after_a_kill(model: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """Here a model that has other 8-bit stages already."""
    for file in INT8.values():
        (model / file).write_bytes(b"other")
    write_config(model, find_model(model).config)
    monkeypatch.setattr(module, "compare", lambda *_: Accuracy(44.0, 1.01))
    whole = iter([write_whole] * written)
    monkeypatch.setattr(module, "write_whole", lambda path: next(whole)(path))
    with pytest.raises(StopIteration):
        quantize(model, Path("data"))
    assert set(find_model(model).config["files"]) == {"align.onnx", "paint.onnx"}


def test_a_model_without_stages_is_refused(model: Path) -> None:
    (model / "paint.onnx").unlink()
    write_config(model, {"name": "tiny"})
    with pytest.raises(UsageError, match="export the model first"):
        quantize(model, Path("data"))


@pytest.mark.usefixtures("quick")
def test_a_model_that_cannot_be_written_is_refused_before_the_work(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != model)
    monkeypatch.setattr(module, "samples", lambda *_: pytest.fail("began"))
    with pytest.raises(UsageError, match="cannot be written to"):
        quantize(model, Path("data"))
