"""The landmark generator's training: it reduces the error, and an interrupted run continues identically."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from landmark_clips import MOUTH, talking_clip, write_clips
from lipsmith.data.clips import read_manifest
from lipsmith.data.phonemes import PHONEMES
from lipsmith.errors import InputError
from lipsmith.training.checkpoint import load_checkpoint, save_checkpoint
from lipsmith.training.landmarks.augment import Augmentation
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.landmarks.learner import Learner
from lipsmith.training.landmarks.sampler import ReferenceRules
from lipsmith.training.landmarks.stages import load_trained
from lipsmith.training.landmarks.task import LandmarkTask, score
from lipsmith.training.loop import Settings, fit
from lipsmith.training.losses.landmarks import LandmarkLossWeights
from training_runs import interrupted

SMALL = LandmarkTraining(
    model=dataclasses.replace(MOUTH, window=12, references=4, temporal=0),
    loss=LandmarkLossWeights(concordance=0.01),
    references=ReferenceRules(fewest=2),
    steps=12,
    batch=4,
    warmup=2,
    learning_rate=1e-3,
    validate_every=6,
    log_every=3,
    checkpoint_minutes=0.0,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    train = [talking_clip(seed, f"p{seed // 2}") for seed in range(4)]
    write_clips(root, [*train, *(talking_clip(seed, f"v{seed}", "val") for seed in (8, 9))])
    return root


def trained(config: LandmarkTraining, data: Path, run: Path) -> dict[str, float]:
    return fit(LandmarkTask(config), Settings(data, run, "cpu"))


def test_a_resumed_run_equals_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole = trained(SMALL, data, tmp_path / "whole")
    interrupted(LandmarkTask(SMALL), Settings(data, tmp_path / "stopped", "cpu"))
    assert trained(SMALL, data, tmp_path / "stopped") == whole
    left, right = (load_trained(tmp_path / name)[0].state_dict() for name in ("whole", "stopped"))
    for name, weights in left.items():
        assert torch.equal(weights, right[name]), name


PLACED = dataclasses.replace(SMALL, model=dataclasses.replace(SMALL.model, placed=True))


def test_the_end_of_a_run_fits_the_placement_and_measures_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, scores = tmp_path / "run", itertools.count()
    monkeypatch.setattr("lipsmith.training.landmarks.task.score", lambda figures: float(next(scores)))
    figures = trained(PLACED, data, run)
    logged = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    (before,) = [row for row in logged[:-1] if "val/l1_percent" in row and row["step"] == figures["step"]]
    assert logged[-1]["val/score"] == pytest.approx(figures["score"], rel=1e-5)
    assert figures["score"] > before["val/score"]
    assert load_trained(run)[0].state_dict()["transformer.placement.weight"].any()
    assert json.loads((run / "landmarks.json").read_text())["validation"] == pytest.approx(figures)
    assert figures["l1_percent"] != pytest.approx(before["val/l1_percent"], rel=1e-5)
    assert figures["opening_r"] == pytest.approx(before["val/opening_r"], abs=1e-3)


def test_a_placement_that_fits_other_people_badly_is_not_kept(data: Path, tmp_path: Path) -> None:
    """Two people are too few to learn 168 features from."""
    figures = trained(PLACED, data, tmp_path)
    assert not load_trained(tmp_path)[0].state_dict()["transformer.placement.weight"].any()
    validated = [json.loads(line).get("val/score", -9.0) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert figures["score"] == pytest.approx(max(validated), rel=1e-5)


def test_only_a_run_with_a_start_freezes_levels(data: Path, tmp_path: Path) -> None:
    frozen = dataclasses.replace(SMALL, frozen=2, steps=2)
    trained(frozen, data, tmp_path / "first")
    fit(LandmarkTask(frozen), Settings(data, tmp_path / "second", "cpu", start=str(tmp_path / "first")))
    first, second = (load_file(tmp_path / name / "landmarks.safetensors") for name in ("first", "second"))
    torch.manual_seed(SMALL.seed)
    random = Learner(frozen).generator.state_dict()
    levels = [name for name in random if name.startswith("speech.levels.0.") and name.endswith("weight")]
    assert not any(torch.equal(first[name], random[name]) for name in levels)
    assert all(torch.equal(first[name], second[name]) for name in levels)


def test_a_checkpoint_of_an_earlier_version_stays_frozen(data: Path, tmp_path: Path) -> None:
    frozen, path = dataclasses.replace(SMALL, frozen=2), tmp_path / "checkpoint.pt"
    trained(dataclasses.replace(frozen, steps=6), data, tmp_path)
    saved = load_checkpoint(path)
    assert saved is not None
    learner = Learner(frozen)
    optimizer = torch.optim.AdamW([one for one in learner.parameters() if one.requires_grad])
    del saved["given"]
    save_checkpoint(path, saved | {"optimizer": optimizer.state_dict()})
    trained(frozen, data, tmp_path)
    after = load_checkpoint(path)
    assert after is not None
    level = "generator.speech.levels.0."
    assert all(
        torch.equal(after["network"][name], saved["network"][name]) for name in saved["network"] if level in name
    )


@pytest.mark.parametrize(
    ("rules", "change", "told"),
    [
        (ReferenceRules(), {"fewest": 0}, "fewest = 0 should be at least 1"),
        (ReferenceRules(), {"scarce": 1.5}, "scarce = 1.5 should be from 0 to 1"),
        (ReferenceRules(), {"away": 0.8}, "away and sibling are shares of one whole"),
        (ReferenceRules(), {"full": 0.6, "single": 0.6}, "full and single are shares of one whole"),
        (ReferenceRules(), {"pose_shift": 3, "pose_apart": 4}, "pose_apart = 4 should be from 0 to 3"),
        (Augmentation(), {"shifts": -1}, "shifts = -1 should be at least 0"),
        (Augmentation(), {"mirror": 2.0}, "mirror = 2.0 should be from 0 to 1"),
        (SMALL, {"frozen": -1}, "frozen = -1 should be at least 0"),
    ],
)
def test_a_setting_outside_its_range_is_refused(rules: Any, change: dict[str, float], told: str) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match=told):
        dataclasses.replace(rules, **change)


@pytest.mark.parametrize(("blind", "told"), [("train", "in 12 frames in a row"), ("val", "in its measured frames")])
def test_a_split_without_faces_is_refused(tmp_path: Path, blind: str, told: str) -> None:
    clips = [talking_clip(seed, f"p{seed}", split) for seed, split in enumerate(("train", "train", "val"))]
    for clip in clips:
        clip.tracked[:: 11 if clip.record.split == "train" else 1] = clip.record.split != blind
    write_clips(tmp_path / "data", clips)
    with pytest.raises(InputError, match=told):
        trained(SMALL, tmp_path / "data", tmp_path / "run")


def test_training_lowers_the_error(data: Path, tmp_path: Path) -> None:
    brief = dataclasses.replace(SMALL, steps=60, batch=8, learning_rate=8e-3, validate_every=60, log_every=60)
    brief = dataclasses.replace(brief, checkpoint_minutes=9.0, ema=0.8, augment=Augmentation(silence=0.0))
    best = trained(brief, data, tmp_path)
    assert best["opening_r"] > 0.6
    assert best["l1_percent"] < best["mean.l1_percent"]


def test_the_phoneme_layer_is_trained_and_not_saved(data: Path, tmp_path: Path) -> None:
    lines = [{"clip": record.clip, "phonemes": [["m", 0.4], ["a", 0.8]]} for record in read_manifest(data)]
    (data / PHONEMES).write_text("".join(json.dumps(line) + "\n" for line in lines))
    loss = LandmarkLossWeights(closure=1.0, plosive=1.0, phonemes=0.1)
    told = dataclasses.replace(SMALL, loss=loss, frozen=2, references=ReferenceRules(full=0.5, single=0.5))
    figures = trained(told, data, tmp_path)
    assert figures["closure_events"] == 0  # both are in the first half, which holds the references
    network, _ = load_trained(tmp_path)
    assert not [name for name in network.state_dict() if "phonemes" in name]
    last = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()][-2]
    assert {"train/closure", "train/plosive", "train/phonemes"} <= last.keys()


def test_frozen_levels_do_not_change() -> None:
    learner = Learner(dataclasses.replace(SMALL, frozen=2)).train()
    levels = learner.get_submodule("generator.speech.levels")
    before = {name: value.clone() for name, value in levels.state_dict().items()}
    content, logits = learner(torch.randn(2, 12, 80, 16), torch.rand(2, 12, 74, 2), torch.rand(2, 4, 131, 2))
    content.sum().backward()
    assert logits is None
    after = levels.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"2", "3", "4"}  # running means of trained levels
    assert {name.split(".")[0] for name, p in levels.named_parameters() if p.requires_grad} == {
        "2",
        "3",
        "4",
    }


def test_leaks_and_open_lips_in_silence_reduce_the_score() -> None:
    good = {
        "opening_r": 0.6,
        "l1_percent": 0.5,
        "mean.l1_percent": 1.0,
        "amplitude": 1.0,
        "closure": 0.7,
        "truth.closure": 0.8,
    }
    assert score(good) == pytest.approx(0.6 + 0.5 + 0.35)
    assert score(good | {"closure": 0.9}) == pytest.approx(0.6 + 0.5 + 0.4)
    assert score(good | {"leak_r": -0.15, "silence_opening": 1.1}) == pytest.approx(1.45 - 0.2 - 0.1)
    assert score(good | {"amplitude": 0.7, "closure_open": 0.5, "truth.closure_open": 0.3}) == pytest.approx(1.45 - 0.3)
