"""Training of the compared systems: their terms over a run, their weights, and requests that are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from landmark_clips import talking_clip
from lipsmith.cli import main
from lipsmith.errors import UsageError
from lipsmith.models.peers.config import IplapConfig, Wav2LipConfig
from lipsmith.models.peers.iplap import IplapRenderer
from lipsmith.models.peers.wav2lip import Wav2Lip
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.training.loop import Settings, fit
from lipsmith.training.renderer.config import IplapTraining, LossWeights, RendererTraining, Wav2LipTraining
from lipsmith.training.renderer.systems import AnyTraining, load_training, make_task
from renderer_clips import SIZE, prepared

BRIEF: dict[str, Any] = {
    "steps": 2, "clips": 1, "warmup": 0, "validate_every": 2, "log_every": 1, "checkpoint_minutes": 9.0,
}  # fmt: skip
PIXELS = LossWeights(warped=0, content=0, style=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [talking_clip(0, "p0"), talking_clip(8, "v8", "val")]
    return prepared(tmp_path_factory.mktemp("prepared"), clips)


def terms(config: AnyTraining, data: Path, run: Path) -> list[set[str]]:
    """Train, and return the terms of each step."""
    fit(make_task(config), Settings(data, run, "cpu"))
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "val/score" in row] == [2]
    known = {"pixel", "aligned_pixel", "sync"}
    return [{name for name in known if f"train/{name}" in row} for row in rows if "train/learning_rate" in row]


def test_iplap_trains_its_alignment_first(data: Path, tmp_path: Path) -> None:
    model = IplapConfig(width=0.01, face_size=SIZE, references=2)
    config = IplapTraining(model=model, weights=PIXELS, targets=2, pool=2, aligned_until=0.4, gan_from=2.0, **BRIEF)
    assert terms(config, data, tmp_path) == [{"aligned_pixel"}, {"aligned_pixel", "pixel"}]
    IplapRenderer(model).load_state_dict(load_file(tmp_path / "renderer.safetensors"))
    assert json.loads((tmp_path / "renderer.json").read_text())["training"]["system"] == "iplap"


def test_iplap_trains_its_alignment_first_in_two_processes(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "two.toml"
    config.write_text(
        'system = "iplap"\nsteps = 2\nclips = 1\ntargets = 2\npool = 2\naligned_until = 1.0\ngan_from = 2.0\n'
        f"[weights]\nwarped = 0\ncontent = 0\nstyle = 0\n[model]\nwidth = 0.01\nface_size = {SIZE}\nreferences = 2\n"
    )
    processes = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["train", "renderer", str(config), "--data", str(data), "--out", str(tmp_path / "run"), "--device", "cpu"]
    subprocess.run([*processes, "-m", "lipsmith", *words], check=True, capture_output=True, timeout=300)
    assert (tmp_path / "run" / "renderer.safetensors").is_file()


def test_wav2lip_adds_the_sync_loss_late(data: Path, tmp_path: Path) -> None:
    model = Wav2LipConfig(width=0.01, face_size=SIZE)
    config = Wav2LipTraining(model=model, sync_from=0.4, **BRIEF)
    assert terms(config, data, tmp_path) == [{"pixel"}, {"pixel", "sync"}]
    Wav2Lip(model).load_state_dict(load_file(tmp_path / "renderer.safetensors"))


def test_a_learned_alignment_trains(data: Path, tmp_path: Path) -> None:
    model = RendererConfig(
        face_size=SIZE, top=12, full=4, fine=4, coarse=8, references=2, lips=2, alignment="learned", ranks=4
    )
    config = RendererTraining(model=model, weights=PIXELS, targets=2, pool=2, gan_from=2.0, **BRIEF)
    assert terms(config, data, tmp_path) == [{"aligned_pixel", "pixel"}] * 2
    Renderer(model).load_state_dict(load_file(tmp_path / "renderer.safetensors"))


@pytest.mark.parametrize(
    "config",
    [RendererTraining(), IplapTraining(), Wav2LipTraining(model=Wav2LipConfig(face_size=16))],
    ids=lambda config: type(config).__name__,
)
def test_clips_of_another_side_are_refused_at_once(config: AnyTraining, data: Path, tmp_path: Path) -> None:
    needed = config.model.face_size
    with pytest.raises(UsageError, match=f"are {SIZE} pixels wide, but the model takes {needed}.*a side of {needed}"):
        fit(make_task(config), Settings(data, tmp_path / "run", "cpu"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('system = "pcavs"', "'pcavs' is unknown; it may be one of wav2lip, iplap"),
        ("learning_rate = -1", "mine.toml: learning_rate = -1.0 should be at least 0"),
        ("learning_rate = nan", "mine.toml: learning_rate = nan should be a finite number"),
        ("ema = 1.5", "ema = 1.5 should be from 0 to 1"),
        ("warmup = -5", "warmup = -5 should be at least 0"),
        ("checkpoint_minutes = -1", "checkpoint_minutes = -1.0 should be at least 0"),
        ("seed = -1", r"seed = -1 should be from 0 to 1e\+15"),
        ("nearest_share = 7", "nearest_share = 7.0 should be from 0 to 1"),
        ("[weights]\npixel = -1", "weights: pixel = -1.0 should be at least 0"),
        ("[model]\nfull = 0", "model: full = 0 should be at least 1"),
        ('system = "wav2lip"\n[weights]\nsync = -1', "weights: sync = -1.0 should be at least 0"),
        ("pool = 61", "pool = 61 should be from 1 to 60"),
        ('system = "wav2lip"\ntargets = 4', "targets = 4, but the judge takes 5"),
        ('system = "iplap"\nclips = 1\ntargets = 1', "clips times targets is at least 2"),
        ('system = "iplap"\n[weights]\nwarped = 0\naligned_pixel = 0', "no term of the loss counts at the start"),
        ('system = "iplap"\n[weights]\naligned_pixel = 0', "no term of the loss counts at the start"),
        ("[weights]\npixel = 0\naligned_pixel = 0", "no term of the loss counts at the start"),
    ],
)
def test_impossible_configs_are_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load_training(path)


def test_parts_of_another_system_cannot_be_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--without", "lips"]
    assert main(["train", "renderer", "iplap_small", *words]) == 2
    assert "--without removes parts of our renderer, but iplap_small is iplap" in capsys.readouterr().err
