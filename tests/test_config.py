"""Config files become frozen dataclasses, and errors in them are reported in one sentence."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

import pytest

from lipsmith.config import build, load_config, packaged_configs, renamed, require_range
from lipsmith.errors import UsageError, WeightsError
from lipsmith.inference.model_folder import find_model
from lipsmith.models.renderer.config import RendererConfig


@dataclass(frozen=True)
class Inner:
    width: int = 4
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width is at least 1")


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    rate: float = 0.5
    minutes: float | None = None
    levels: tuple[int, ...] = (1, 2)
    pair: tuple[int, float] = (1, 2.0)
    where: Path = Path("here")


@dataclass(frozen=True)
class Needed:
    width: int


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_tables_become_dataclasses_with_defaults(tmp_path: Path) -> None:
    text = 'rate = 2\nminutes = 3\nlevels = [4]\npair = [5, 6]\nwhere = "there"\n[inner]\nkind = "b"\n'
    config = load_config(Outer, "sync", written(tmp_path, text))
    assert config == Outer(Inner(4, "b"), 2.0, 3.0, (4,), (5, 6.0), Path("there"))
    assert type(config) is Outer
    assert isinstance(config.rate, float)
    assert isinstance(config.levels, tuple)
    assert load_config(Outer, "sync", written(tmp_path, "")) == Outer()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rat = 1", "unknown key 'rat'; it may be one of inner, rate, minutes"),
        ("[inner]\nheight = 1", r"unknown key 'inner\.height'; it may be one of width, kind"),
        ('rate = "fast"', "rate = 'fast' should be a valid number"),
        ("rate = true", "rate = True should be"),
        ("rate = nan", "rate = nan should be a finite number"),
        ("minutes = inf", "minutes = inf should be a finite number"),
        ("levels = [1.5]", r"levels\[0\] = 1.5 should be a valid integer"),
        ("pair = [1]", r"pair\[1\] is missing"),
        ('[inner]\nkind = "c"', "inner.kind = 'c' should be 'a' or 'b'"),
        ("inner = 3", "inner = 3 should be an object"),
        ("[inner]\nwidth = 0", "inner: width is at least 1"),
        ("minutes = 2026-11-26", "minutes = '2026-11-26' should be"),
        ("rate =", "not a TOML file"),
    ],
)
def test_an_invalid_value_is_a_usage_error_that_names_it(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=f"{path}: {told}") as error:
        load_config(Outer, "sync", path)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_a_file_in_another_encoding_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('where = "caf\xe9"'.encode("latin-1"))
    with pytest.raises(UsageError, match="not a TOML file"):
        load_config(Outer, "sync", path)


def test_a_missing_value_or_table_is_named() -> None:
    with pytest.raises(WeightsError, match="mine: width is missing"):
        build(Needed, {}, "mine", WeightsError)
    with pytest.raises(WeightsError, match="mine: None should be an object"):
        build(Needed, None, "mine", WeightsError)


def test_a_number_outside_its_range_is_named() -> None:
    require_range(Outer(), 0, 0.5, "rate")
    with pytest.raises(ValueError, match=r"^rate = 0.5 should be from 0 to 0.4$"):
        require_range(Outer(), 0, 0.4, "rate")
    with pytest.raises(ValueError, match=r"^levels = \(1, 2\) should be from 0 to 1$"):
        require_range(Outer(), 0, 1, "levels")
    require_range(Outer(levels=[1, 2]), 1, 2, "levels")  # type: ignore[arg-type]  # read from JSON
    with pytest.raises(ValueError, match=r"^rate = nan should be at least 1$"):
        require_range(Outer(rate=math.nan), 1, math.inf, "rate")


def test_a_config_is_found_by_path_or_packaged_name(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from lipsmith.training.landmarks.config import LandmarkTraining

    assert load_config(LandmarkTraining, "landmarks", "paper").model.window == 5
    with pytest.raises(UsageError, match=r"No landmarks config is called 'nothing'.*fast, paper, posteriors"):
        load_config(LandmarkTraining, "landmarks", "nothing")
    with pytest.raises(UsageError, match="no such config file"):
        load_config(LandmarkTraining, "landmarks", tmp_path / "nothing.toml")


def test_every_packaged_config_is_valid() -> None:
    pytest.importorskip("torch")
    from lipsmith.training.landmarks.config import LandmarkTraining
    from lipsmith.training.lips.config import LipsTraining
    from lipsmith.training.occlusion.config import OcclusionTraining
    from lipsmith.training.renderer.systems import load_training
    from lipsmith.training.sync.config import SyncTraining

    for name in packaged_configs("landmarks"):
        load_config(LandmarkTraining, "landmarks", name)
    for name in packaged_configs("renderer"):
        load_training(name)
    for name in packaged_configs("sync"):
        load_config(SyncTraining, "sync", name)
    for name in packaged_configs("lips"):
        load_config(LipsTraining, "lips", name)
    for name in packaged_configs("occlusion"):
        load_config(OcclusionTraining, "occlusion", name)
    folders = [item.name for item in (resources.files("lipsmith") / "configs").iterdir() if item.is_dir()]
    assert sorted(folders) == ["landmarks", "lips", "occlusion", "renderer", "sync"]


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("sync", "mouth_widths = []", "need a width"),
        ("sync", "mel_widths = [4, -1]", "mel_widths = .* should be at least 1"),
        ("sync", "frames = 3", "frames = 3, but windows have 5"),
        ("sync", "dropout = 5.0", "from 0 to 1"),
        ("lips", "widths = []", "need at least one width"),
        ("lips", "hidden = -1", "at least 1"),
        ("occlusion", "widths = [8]", "need 2 to 6 widths"),
        ("occlusion", "widths = [8, 0]", "at least 1"),
        ("lips", "width = 40", "width = 40 is not a multiple of 32"),
        ("landmarks", "speech_channels = [-1, 1, 1, 1, 1]", "speech_channels = .* should be at least 1"),
        ("landmarks", "point_channels = []", "need at least one width"),
        ("landmarks", "bands = 0", "at least 1"),
        ("landmarks", "speech_residuals = -1", "at least 0"),
    ],
)
def test_sizes_of_which_no_network_can_be_made_are_refused(
    tmp_path: Path, kind: Literal["sync", "lips", "occlusion", "landmarks"], text: str, told: str
) -> None:
    pytest.importorskip("torch")
    from lipsmith.training.landmarks.config import LandmarkTraining
    from lipsmith.training.lips.config import LipsTraining
    from lipsmith.training.occlusion.config import OcclusionTraining
    from lipsmith.training.sync.config import SyncTraining

    classes = {"sync": SyncTraining, "lips": LipsTraining, "occlusion": OcclusionTraining}
    cls = {**classes, "landmarks": LandmarkTraining}[kind]
    with pytest.raises(UsageError, match=f"model: .*{told}"):
        load_config(cls, kind, written(tmp_path, f"[model]\n{text}"))


def test_the_record_of_the_shipped_model_is_a_valid_config() -> None:
    pytest.importorskip("torch")
    from lipsmith.training.landmarks.config import LandmarkTraining
    from lipsmith.training.renderer.config import RendererTraining

    record = json.loads((find_model("fast").path / "training.json").read_text())
    for network, cls in (("landmarks", LandmarkTraining), ("renderer", RendererTraining)):
        training = {key: value for key, value in record[network]["training"].items() if key != "start"}
        assert build(cls, training, network).steps == training["steps"]


def test_old_names_of_keys_are_known() -> None:
    assert build(RendererConfig, {"neighbours": 1}, "old.json").neighbors == 1
    card = {"training": {"model": {"neighbours": 1, "lips": 2}, "steps": 3}, "files": ["neighbours"]}
    assert renamed(card) == {"training": {"model": {"neighbors": 1, "lips": 2}, "steps": 3}, "files": ["neighbours"]}
