"""Training verbs: shared options, which replace values of the config, and one complete training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipsmith.cli import load_verb, main, parse_options
from lipsmith.cli.training import TrainingOptions
from sync_clips import write_clips

VERBS = ("train landmarks", "train renderer", "train sync", "train lips", "train occlusion")


@pytest.mark.parametrize("verb", VERBS)
def test_training_verbs_share_their_options(verb: str) -> None:
    given = "fast --data d --out o --minutes 2.5 --steps 7 --start fast --seed 3"
    options = parse_options(verb, load_verb(verb), given.split())
    assert isinstance(options, TrainingOptions)
    assert (options.minutes, options.steps, options.start, options.seed) == (2.5, 7, "fast", 3)


def test_options_replace_values_of_the_config() -> None:
    pytest.importorskip("torch")
    from lipsmith.training.task import TrainingConfig

    config = TrainingConfig(steps=9, minutes=4.0, seed=1)
    options = TrainingOptions(data=Path("d"), out=Path("o"))
    assert options.applied(config) == config
    options = TrainingOptions(data=Path("d"), out=Path("o"), steps=7, seed=0)
    assert options.applied(config) == TrainingConfig(steps=7, minutes=4.0, seed=0)


def test_a_training_prints_the_path_of_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    write_clips(tmp_path / "data", {"train": [0], "val": [0]})
    config = tmp_path / "tiny.toml"
    config.write_text(
        "batch = 2\nlength = 12\nmargin = 6\n[model]\nheight = 16\nwidth = 32\nmouth_widths = [4]\nmel_widths = [4]\n"
        "blocks = 1\nembedding = 4\n"
    )
    words = ["train", "sync", str(config), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert main([*words, "--steps", "2", "--seed", "3", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path / 'run' / 'sync'}\n"
    assert "sync_accuracy" in shown.err
    assert "training: 1000 of 1000 (100 %)" in shown.err
    training = json.loads((tmp_path / "run" / "sync.json").read_text())["training"]
    assert (training["steps"], training["seed"], training["batch"]) == (2, 3, 2)


def test_a_seed_out_of_range_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("-1", str(2**64)):
        assert main(["train", "sync", "fast", "--data", "d", "--out", "o", "--seed", seed]) == 2
        assert f"--seed = {seed} should be from 0 to 1e+15." in capsys.readouterr().err


def test_a_run_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    (tmp_path / "out").touch()
    assert main(["train", "sync", "fast", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 2
    assert "is a file; name a folder." in capsys.readouterr().err


def test_a_start_of_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    run = tmp_path / "landmarks"
    run.mkdir()
    for ending in (".json", ".safetensors"):
        (run / f"landmarks{ending}").touch()
    words = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--start", str(run)]
    assert main(["train", "renderer", "fast", *words]) == 2
    assert f"--start {run} is a run of landmarks; give a run of renderer, or a model." in capsys.readouterr().err
