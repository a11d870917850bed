"""The lip-sync judge's training, on footage with known sync."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lipsmith.data.clips import write_manifest
from lipsmith.errors import InputError, UsageError
from lipsmith.evaluation.metrics.judge import load_judge
from lipsmith.models.sync.syncnet import SyncNetConfig
from lipsmith.training.checkpoint import load_checkpoint
from lipsmith.training.loop import Settings, fit
from lipsmith.training.sync.config import SyncTraining
from lipsmith.training.sync.task import SyncTask
from sync_clips import write_clips
from training_runs import interrupted

SMALL = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8, dropout=0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("clips")
    write_clips(root, {"train": [0] * 8 + [4], "val": [0] * 3})
    config = SyncTraining(
        model=SMALL,
        steps=60,
        batch=5,
        length=12,
        margin=6,
        learning_rate=1e-2,
        warmup=5,
        ema=0.9,
        realign=(0.7,),
        validate_every=30,
    )
    fit(SyncTask(config), Settings(root, root / "run", "cpu"))
    return root, root / "run"


def test_training_learns_sync(trained: tuple[Path, Path]) -> None:
    _, run = trained
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["val/sync_accuracy"] > 0.9
    assert load_judge(str(run / "sync")).name == "lipsmith-sync"
    card = json.loads((run / "sync.json").read_text())
    assert card["validation"]["sync_accuracy"] == max(row.get("val/sync_accuracy", 0) for row in rows)


def test_training_finds_the_clip_out_of_sync(trained: tuple[Path, Path]) -> None:
    _, run = trained
    offsets = json.loads((run / "offsets.json").read_text())
    assert abs(offsets["train/p8/c8"] * 25 - 4) <= 1
    assert sum(abs(offsets[f"train/p{i}/c{i}"]) * 25 <= 1 for i in range(8)) == 8


BRIEF = SyncTraining(
    model=SMALL, steps=4, batch=2, length=12, margin=6, realign=(0.5,), validate_every=2, checkpoint_minutes=0.0
)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipsmith.training.sync.task._TRUSTED", 0.0)
    write_clips(tmp_path / "data", {"train": [0, 3], "val": [0]})

    whole = fit(SyncTask(BRIEF), Settings(tmp_path / "data", tmp_path / "whole", "cpu"))
    interrupted(SyncTask(BRIEF), Settings(tmp_path / "data", tmp_path / "stopped", "cpu"))
    resumed = SyncTask(BRIEF)
    assert fit(resumed, Settings(tmp_path / "data", tmp_path / "stopped", "cpu")) == whole
    assert resumed.realigned == 1
    left, right = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "stopped"))
    assert left is not None
    assert right is not None
    assert torch.equal(left["task"]["lag"], right["task"]["lag"])
    assert all(torch.equal(weights, right["network"][name]) for name, weights in left["network"].items())


def test_a_run_continues_only_with_the_same_clips_and_model(tmp_path: Path) -> None:
    write_clips(tmp_path / "one", {"train": [0, 0], "val": [0]})
    write_clips(tmp_path / "other", {"train": [0, 0, 0], "val": [0]})
    run = tmp_path / "run"
    fit(SyncTask(replace(BRIEF, steps=1)), Settings(tmp_path / "one", run, "cpu"))
    with pytest.raises(UsageError, match="another 'clips'"):
        fit(SyncTask(BRIEF), Settings(tmp_path / "other", run, "cpu"))
    with pytest.raises(UsageError, match="another 'model'"):
        fit(SyncTask(replace(BRIEF, model=replace(SMALL, embedding=4))), Settings(tmp_path / "one", run, "cpu"))


def test_a_judge_can_start_from_a_run_or_a_model_folder(tmp_path: Path) -> None:
    write_clips(tmp_path / "data", {"train": [0], "val": [0]})
    still = replace(BRIEF, steps=1, learning_rate=0.0)
    first = tmp_path / "first"
    fit(SyncTask(still), Settings(tmp_path / "data", first, "cpu"))
    before = load_checkpoint(first / "checkpoint.pt")
    assert before is not None
    for number, start in enumerate((first, first / "sync")):
        other = replace(still, seed=7 + number)
        fit(SyncTask(other), Settings(tmp_path / "data", tmp_path / f"next{number}", "cpu", str(start)))
        after = load_checkpoint(tmp_path / f"next{number}" / "checkpoint.pt")
        assert after is not None
        for name, weights in before["network"].items():
            if weights.is_floating_point() and "running" not in name:
                torch.testing.assert_close(after["network"][name], weights, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize(("train_frames", "said"), [(16, "'train' lasts 1.0 s"), (30, "'val' lasts 1.0 s")])
def test_footage_that_is_too_short_is_refused(train_frames: int, said: str, tmp_path: Path) -> None:
    records = write_clips(tmp_path, {"train": [0]}, train_frames) + write_clips(tmp_path, {"val": [0]}, 16)
    write_manifest(tmp_path, records)
    with pytest.raises(InputError, match=said):
        fit(SyncTask(SyncTraining(model=SMALL)), Settings(tmp_path, tmp_path / "run", "cpu"))
