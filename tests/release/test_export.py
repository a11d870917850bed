"""Trained weights to a model folder: its records, and errors. `tests/cli/test_workflow.py` tests the ONNX stages."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from landmark_clips import MOUTH
from lipsmith.cli import export as verb
from lipsmith.cli import main
from lipsmith.errors import UsageError, WeightsError
from lipsmith.inference.model_folder import find_model
from lipsmith.inference.stages import load_stages
from lipsmith.models.landmarks.generator import build_landmark_generator
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.release.card import model_card
from lipsmith.release.export import OPSET, OUTPUTS, Axes, check_onnx, example, export, stage_axes
from lipsmith.training.checkpoint import save_weights
from renderer_clips import enlivened

FLOAT = onnx.TensorProto.FLOAT
FACE = RendererConfig(face_size=32, top=12, full=4, fine=4, coarse=8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("runs")
    generator, renderer = enlivened(build_landmark_generator(MOUTH)), enlivened(Renderer(FACE))
    training = {"model": asdict(MOUTH), "steps": 7, "seed": 1}
    save_weights(root / "l" / "landmarks", generator.state_dict(), {"training": training, "validation": {"score": 0.5}})
    training = {"model": asdict(FACE), "steps": 9, "minutes": 2.5, "seed": 0}
    figures = {"psnr": 31.25, "step": 8.0}
    save_weights(root / "r" / "renderer", renderer.state_dict(), {"training": training, "validation": figures})
    return root


@pytest.fixture
def weights_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the ONNX stages, which take most of the time of an export."""
    monkeypatch.setattr("lipsmith.release.export.export_stages", lambda *_: None)


@pytest.fixture(scope="module")
def model(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without ONNX stages."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lipsmith.release.export.export_stages", lambda *_: None)
        export(runs / "l", runs / "r", folder, "tiny", data="Drawn.", hardware="1 core", license="For research.")
    return folder


def test_half_precision_changes_outputs_little(model: Path, runs: Path) -> None:
    from safetensors.torch import load_file

    renderer = Renderer(FACE).eval()
    renderer.load_state_dict(load_file(runs / "r" / "renderer.safetensors"))
    inputs = example(stage_axes(MOUTH, FACE)["lip"], {"n": 2})
    with torch.no_grad():
        difference = (renderer.encode_lip(**inputs) - load_stages(model)["lip"](**inputs)).abs().max()
    assert 0 < difference < 5e-3


@pytest.mark.usefixtures("weights_alone")
def test_a_network_of_an_earlier_model_can_be_kept(model: Path, runs: Path, tmp_path: Path) -> None:
    export(model, runs / "r", tmp_path / "next", "next", data="", hardware="", license="")
    before, after = (load_stages(folder)["landmarks"].state_dict() for folder in (model, tmp_path / "next"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "| steps | 7 | 9 |" in (tmp_path / "next" / "CARD.md").read_text()


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        '{"renderer": {}}',
        '{"landmarks": 1}',
        '{"landmarks": {"training": 1}}',
        '{"landmarks": {"training": {}, "validation": 1}}',
        '{"landmarks": {"training": {"start": 1}}}',
    ],
)
def test_a_damaged_record_of_a_model_is_refused(model: Path, runs: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(model, tmp_path / "old")
    (tmp_path / "old" / "training.json").write_text(damage)
    with pytest.raises(WeightsError, match="describe a training of landmarks"):
        export(tmp_path / "old", runs / "r", tmp_path / "next", "next", data="", hardware="", license="")


def test_the_card_reports_measured_figures(model: Path) -> None:
    card = (model / "CARD.md").read_text()
    for said in (
        "Drawn.",
        "1 core",
        "Weights: For research.",
        "| psnr | 31.25 |",
        "| steps | 7 | 9 |",
        "| minutes | n/a | 2.5 |",
        "| seed | 1 | 0 |",
    ):
        assert said in card


def test_the_card_reports_commands_and_steps() -> None:
    begun = {
        "training": {"steps": 610_000, "start": "my runs/first", "minutes": 90.0},
        "validation": {"step": 123456.0},
    }
    card = model_card("x", begun, {"training": {}, "validation": {}}, data="", hardware="", license="")
    known = "CONFIG --data DATA --out RUN"
    assert f"\n    lipsmith train landmarks {known} --start 'my runs/first' --minutes 90\n" in card
    assert f"\n    lipsmith train renderer {known}\n" in card
    assert "| step of the weights | 123456 | n/a |" in card


def test_the_card_does_not_claim_a_split_by_identity(model: Path) -> None:
    """A model adapted to one person has that person in train and in val."""
    assert "split by identity" not in (model / "CARD.md").read_text()


def test_cards_count_the_stages() -> None:
    nothing: dict[str, dict[str, float]] = {"training": {}, "validation": {}}
    assert len(OUTPUTS) == 7
    for card in (
        model_card("x", nothing, nothing, data="", hardware="", license=""),
        (find_model("fast").path / "CARD.md").read_text(),
    ):
        assert "two networks in seven ONNX stages" in card


def test_the_shipped_card_matches_its_record() -> None:
    folder = find_model("fast").path
    runs = json.loads((folder / "training.json").read_text())
    card = model_card("fast", runs["landmarks"], runs["renderer"], data="", hardware="", license="")
    told = (folder / "CARD.md").read_text().splitlines()
    assert [line for line in card.splitlines() if line.startswith(("|", "    ")) and line not in told] == []


class Stage(nn.Module):
    """A stage whose output differs from the file `speech.onnx` by `difference`."""

    def __init__(self, difference: float) -> None:
        super().__init__()
        self.difference = difference

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return mel + self.difference


def test_a_stage_that_differs_from_torch_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "speech.onnx"
    shape: list[str | int | None] = ["n", 1, 80, 16]
    mel, tokens = (onnx.helper.make_tensor_value_info(name, FLOAT, shape) for name in ("mel", "tokens"))
    node = onnx.helper.make_node("Identity", ["mel"], ["tokens"])
    opset = onnx.helper.make_opsetid("", OPSET)
    graph = onnx.helper.make_graph([node], "speech", [mel], [tokens])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10), path)
    axes: Axes = {"mel": ("n", 1, 80, 16)}
    assert check_onnx(Stage(5e-5), axes, path) == pytest.approx(5e-5, rel=0.01)
    with pytest.raises(WeightsError, match="from torch"):
        check_onnx(Stage(0.01), axes, path)


def test_a_refused_export_leaves_no_files_and_keeps_the_old_model(
    model: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_refuse(stages: object, mouth: object, face: object, folder: Path) -> None:
        (folder / "speech.onnx").write_bytes(b"wrong")
        raise WeightsError("do not use this model")

    shutil.copytree(model, tmp_path / "old")
    monkeypatch.setattr("lipsmith.release.export.export_stages", write_and_refuse)
    for name in ("new", "old"):
        with pytest.raises(WeightsError, match="do not use"):
            export(runs / "l", runs / "r", tmp_path / name, name, data="", hardware="", license="")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert find_model(tmp_path / "old").config["name"] == "tiny"


@pytest.mark.usefixtures("weights_alone")
def test_an_export_over_a_model_removes_its_8_bit_stages(runs: Path, tmp_path: Path) -> None:
    """They would be used, but belong to the old networks."""
    for name in ("align.int8.onnx", "note.txt"):
        (tmp_path / name).touch()
    export(runs / "l", runs / "r", tmp_path, "mine", data="", hardware="", license="")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "CARD.md", "config.json", "model.safetensors", "note.txt", "training.json",
    ]  # fmt: skip


def test_an_existing_output_is_refused_before_the_work(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("lipsmith.release.export.export", work)
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder/CARD.md"):
        (tmp_path / name).write_text("somebody else's")
    words = ["export", "--landmarks", str(runs / "l"), "--renderer", str(runs / "r"), "-o"]
    assert main([*words, str(tmp_path / "file"), "--overwrite"]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "folder")]) == 2
    assert "set overwrite" in capsys.readouterr().err


@pytest.mark.usefixtures("weights_alone")
def test_a_kept_network_requires_a_license(model: Path, runs: Path, tmp_path: Path) -> None:
    asked = verb.Options(landmarks=str(model), renderer=str(runs / "r"), out=tmp_path / "mine")
    with pytest.raises(UsageError, match="give the license of mine for its card"):
        verb.run(asked)
    verb.run(replace(asked, license="For research."))
    assert find_model(tmp_path / "mine").config["name"] == "mine"


@pytest.mark.usefixtures("weights_alone")
def test_a_shipped_network_can_be_kept_by_name(runs: Path, tmp_path: Path) -> None:
    export("fast", runs / "r", tmp_path / "mine", "mine", data="", hardware="", license="")
    shipped, mine = (
        load_stages(folder)["speech"].state_dict() for folder in (find_model("fast").path, tmp_path / "mine")
    )
    assert all(torch.equal(shipped[name], mine[name]) for name in shipped)


@pytest.mark.parametrize("change", [{"features": "posteriors", "speech_channels": (4,)}, {"bands": 64}])
def test_a_generator_with_inputs_other_than_a_dubs_is_refused(
    runs: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    mouth = replace(MOUTH, **change)
    training = {"training": {"model": asdict(mouth)}, "validation": {}}
    save_weights(tmp_path / "l" / "landmarks", build_landmark_generator(mouth).state_dict(), training)
    with pytest.raises(UsageError, match="80 of mel"):
        export(tmp_path / "l", runs / "r", tmp_path / "model", "x", data="", hardware="", license="")


def test_a_renderer_with_another_number_of_sketches_is_refused(runs: Path, tmp_path: Path) -> None:
    face = replace(FACE, neighbors=1)
    training = {"training": {"model": asdict(face)}, "validation": {}}
    save_weights(tmp_path / "r" / "renderer", Renderer(face).state_dict(), training)
    with pytest.raises(UsageError, match="needs 3 sketches"):
        export(runs / "l", tmp_path / "r", tmp_path / "model", "x", data="", hardware="", license="")


def test_weights_of_another_architecture_than_the_config_are_refused(runs: Path, tmp_path: Path) -> None:
    training = {"training": {"model": asdict(replace(FACE, coarse=12))}, "validation": {}}
    save_weights(tmp_path / "r" / "renderer", Renderer(FACE).state_dict(), training)
    with pytest.raises(WeightsError, match="r: the weights do not match their config"):
        export(runs / "l", tmp_path / "r", tmp_path / "model", "x", data="", hardware="", license="")


def test_a_run_without_weights_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="train with `lipsmith train renderer`, or name a model"):
        export(runs / "l", tmp_path, tmp_path / "model", "x", data="", hardware="", license="")


@pytest.mark.parametrize(("key", "value"), [("renderer", {"coarse": 12}), ("landmarks", {"width": 3}), ("renderer", 1)])
def test_config_and_weights_must_match(model: Path, tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    config = json.loads((model / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(WeightsError) as raised:
        load_stages(tmp_path)
    assert "\n" not in str(raised.value)
