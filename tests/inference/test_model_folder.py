"""Models are found by name or folder, and modified files are never used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from lipsmith.errors import WeightsError
from lipsmith.inference.model_folder import ModelConfig, ModelFolder, find_model, model_names, write_config


@pytest.fixture
def user_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "speech.onnx").write_bytes(b"a network")
    (folder / "CARD.md").write_text("about it")
    write_config(folder, {"face_size": 128})
    return folder


def test_config_names_every_weight_file_with_its_hash(tmp_path: Path) -> None:
    found = find_model(make_model(tmp_path / "mine"))
    assert found.path == tmp_path / "mine"
    assert found.config["face_size"] == 128
    assert found.config["files"] == {"speech.onnx": hashlib.sha256(b"a network").hexdigest()}


def test_a_name_is_searched_in_the_users_home(user_home: Path) -> None:
    make_model(user_home / "models" / "mine")
    assert find_model("mine").path == user_home / "models" / "mine"
    assert "mine" in model_names()


def test_a_name_may_contain_a_version(user_home: Path) -> None:
    make_model(user_home / "models" / "mine-1.2")
    assert find_model("mine-1.2").path == user_home / "models" / "mine-1.2"


def test_a_path_is_never_interpreted_as_a_name(
    user_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(user_home / "models" / "mine")
    make_model(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert find_model("./mine").path.resolve() == tmp_path / "mine"
    assert find_model(Path("mine")).path.resolve() == tmp_path / "mine"


def test_an_unknown_name_lists_the_known_ones(user_home: Path) -> None:
    make_model(user_home / "models" / "mine")
    with pytest.raises(WeightsError, match=r"No model 'slow'.*mine"):
        find_model("slow")


def test_a_training_run_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "landmarks.json").touch()
    with pytest.raises(WeightsError, match="No model"):
        find_model(tmp_path)
    (tmp_path / "landmarks.safetensors").touch()
    with pytest.raises(WeightsError, match=f"{tmp_path} is a run of landmarks, not a model; give a folder"):
        find_model(tmp_path)


def test_an_unknown_name_lists_models_with_their_kind(user_home: Path) -> None:
    judge = user_home / "models" / "judge"
    judge.mkdir(parents=True)
    write_config(judge, {"kind": "sync"})
    listed = r"judge \(of kind sync\), lips \(of kind lips\), occlusion \(of kind occlusion\), sync \(of kind sync\)\.$"
    with pytest.raises(WeightsError, match=listed):
        find_model("slow")
    (judge / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"judge \(damaged\)"):
        find_model("slow")


def test_settings_are_read_from_the_config(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"face_size": 64, "references_per_frame": 3, "lips": 5, "window": 15}
    folder = ModelFolder(tmp_path / "mine", {**sizes, "of a later version": 1})
    assert folder.settings == ModelConfig(name="mine", **sizes)
    assert ModelFolder(tmp_path, {**sizes, "name": "fast"}).settings.name == "fast"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lips": None}, "lips"),
        ({"window": "wide"}, "window"),
        ({"face_size": 0}, "at least 1"),
        ({}, "window is missing"),
    ],
)
def test_invalid_settings_are_a_weights_error(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    sizes: dict[str, object] = {"face_size": 64, "references_per_frame": 3, "lips": 5}
    if change:
        sizes |= {"window": 15, **change}
    with pytest.raises(WeightsError, match=reason) as caught:
        _ = ModelFolder(tmp_path / "mine", sizes).settings
    assert "\n" not in str(caught.value)
    assert "config.json" in str(caught.value)


def test_a_modified_file_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine")
    find_model(folder)
    (folder / "speech.onnx").write_bytes(b"another network")
    with pytest.raises(WeightsError, match=r"speech\.onnx is not the published file"):
        find_model(folder)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine")
    (folder / "speech.onnx").unlink()
    with pytest.raises(WeightsError, match=r"speech\.onnx is missing"):
        find_model(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}', '{"files": {"config.json": 3}}'])
def test_a_damaged_config_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match="config"):
        find_model(tmp_path)


def test_every_shipped_model_is_complete() -> None:
    for name in model_names():
        assert find_model(name).config["files"]
