"""Evaluation of the landmark generator on prepared clips: inputs, figures, and the command."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from landmark_clips import LOUD, MOUTH, LoudStages, talking_clip, write_clips
from lipsmith.cli import evaluate_landmarks as verb
from lipsmith.data.clips import read_manifest
from lipsmith.errors import InputError, UsageError
from lipsmith.evaluation.landmarks import (
    Trial,
    evaluate,
    leak_r,
    make_trial,
    measure,
    strangers,
    total,
)
from lipsmith.evaluation.metrics.landmarks import inner_opening
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.models.landmarks.generator import build_landmark_generator
from lipsmith.training.checkpoint import save_weights
from lipsmith.training.landmarks.config import LandmarkTraining


def ignore(done: int, total: int) -> None:
    """Ignore progress."""


def trial(seed: int, frames: int = 80) -> Trial:
    """Return a trial of a talking face whose first pose point leaks the opening."""
    clip = talking_clip(seed, f"p{seed}", frames=frames)
    clip.landmarks[:, 0, 0] = inner_opening(clip.landmarks[:, NUM_POSE:])
    return make_trial(clip, 4)


def test_the_leak_measures_pose_and_not_speech() -> None:
    trials = [trial(seed) for seed in range(8)]
    honest, peeking = (
        np.mean([leak_r(LoudStages(peeks), item, strangers(trials, item.record.identity), 15) for item in trials])
        for peeks in (False, True)
    )
    assert measure(LoudStages(), trials[0], 15)["opening_r"] > 0.9
    assert peeking > 0.99
    assert abs(honest) < 0.35


def test_short_foreign_speech_is_repeated_and_without_any_no_leak_is_measured() -> None:
    item = trial(1)
    whole = item.mel[:, :40]
    twice = np.tile(whole, 8)
    assert leak_r(LoudStages(), item, [whole], 15) == leak_r(LoudStages(), item, [twice], 15)
    assert np.isnan(leak_r(LoudStages(), item, [], 15))


def test_strangers_are_one_speech_of_each_other_person_in_any_order() -> None:
    lengths = (80, 90, 100, 70, 60)
    named = zip(range(5), "aabbc", lengths, strict=True)
    trials = [make_trial(talking_clip(seed, name, frames=frames), 4) for seed, name, frames in named]
    for order in (trials, trials[::-1]):
        chosen = strangers(order, "a")
        assert [any(mel is trial.mel for mel in chosen) for trial in trials] == [False, False, True, False, True]


def test_silence_is_reported_with_the_most_closed_reference() -> None:
    figures = measure(LoudStages(), trial(2), 15)
    assert figures["silence_opening"] == pytest.approx(0.0, abs=1e-4)
    assert figures["least.silence_opening"] < figures["mean.silence_opening"]


def test_strict_trials_separate_references_and_counted_frames() -> None:
    clip = talking_clip(3, "a", frames=60)
    clip.landmarks[:30, 0, 0], clip.landmarks[30:, 0, 0] = 0.0, 1.0
    strict = make_trial(clip, 5)
    assert strict.strict
    assert (strict.references[:, 0, 0] == 0).all()
    # The second half begins at frame 30, 1.2 s; frames from 1.4 s on count.
    assert np.flatnonzero(strict.counted).tolist() == list(range(35, 60))
    assert not make_trial(talking_clip(3, "a", frames=40), 5).strict


def test_totals_are_means_over_identities_and_skip_missing_figures() -> None:
    rows = [{"x": 1.0, "y": 1.0}, {"x": 3.0, "y": float("nan")}, {"x": 8.0, "y": 5.0}]
    assert total(rows, ["a", "a", "b"]) == {"x": 5.0, "y": 3.0}


def test_figures_include_the_baselines_and_the_leak(data: Path) -> None:
    found = evaluate(LOUD, data, "val", ignore)
    figures = found.figures
    assert figures["clips"] == 3
    # 100 frames: the second half from frame 50 and 0.2 s on.
    assert figures["frames"] == 3 * 45
    assert figures["mean.opening_r"] == 0.0
    assert figures["opening_r"] > figures["leak_r"] + 0.2
    assert not any(name.startswith("short.") for name in figures)
    assert [row["identity"] for row in found.rows] == ["early", "late", "right"]


def test_closures_are_pooled_over_known_phonemes(data: Path) -> None:
    early, _, right = (record.clip for record in read_manifest(data, "val"))
    said = {early: [("m", 3.0), ("s", 3.2)], right: [("b", 0.5), ("p", 2.6), ("m", 3.5)]}
    figures = evaluate(LOUD, data, "val", ignore, said).figures
    assert figures["closure_events"] == 3  # the one at 0.5 s is in the half of the references
    assert {"closure", "truth.closure", "smile.closure", "shut.closure"} <= set(figures)
    assert "closure_fv" not in figures
    for prefix in ("smile", "shut"):  # the stub uses no references
        assert figures[f"{prefix}.amplitude"] == pytest.approx(figures["amplitude"], rel=0.01)


def test_clips_under_two_seconds_are_reported_separately(tmp_path: Path) -> None:
    write_clips(tmp_path, [talking_clip(0, "a", "val", 100), talking_clip(1, "b", "val", 40)])
    figures = evaluate(LOUD, tmp_path, "val", ignore).figures
    assert (figures["clips"], figures["short.clips"], figures["short.frames"]) == (1, 1, 40)


def write_run(folder: Path) -> None:
    """Write a training run with untrained weights."""
    card = {"training": asdict(LandmarkTraining(model=MOUTH)), "validation": {}}
    save_weights(folder / "landmarks", build_landmark_generator(MOUTH).state_dict(), card)


def test_a_run_is_measured_from_the_command_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    table = tmp_path / "figures.json"
    verb.run(verb.Options(model=str(tmp_path / "run"), data=data, split=("val",), device="cpu", json=table))
    told = json.loads(table.read_text())
    assert {"opening_r", "leak_r", "mean.l1_percent", "nearest.l1_percent", "silence_opening"} <= set(told["figures"])
    assert len(told["rows"]) == 3
    assert capsys.readouterr().out == f"{table}\n"
    verb.run(verb.Options(model=str(tmp_path / "run"), data=data, split=("val",), device="cpu"))
    assert "opening_r" in capsys.readouterr().out
    with pytest.raises(UsageError, match="set overwrite"):
        verb.run(verb.Options(model=str(tmp_path / "run"), data=data, split=("val",), device="cpu", json=table))


def test_figures_of_several_splits_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, table = tmp_path / "data", tmp_path / "figures.json"
    write_clips(data, [talking_clip(seed, split, split, 100) for seed, split in enumerate(("val", "test"))])
    monkeypatch.setattr("lipsmith.training.landmarks.stages.load_generator", lambda *_: LOUD)
    verb.run(verb.Options(model="loud", data=data, json=table))
    told = json.loads(table.read_text())
    assert {name.split(".")[0] for name in told["figures"]} == {"val", "test"}
    assert told["figures"]["val.opening_r"] != told["figures"]["test.opening_r"]
    assert [row["identity"] for row in told["rows"]] == ["val", "test"]


def test_a_missing_split_is_reported_before_the_others_are_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run")
    measured: list[str] = []
    monkeypatch.setattr("lipsmith.evaluation.landmarks.evaluate", lambda *words: measured.append(words[2]))
    with pytest.raises(InputError, match="'test'"):
        verb.run(verb.Options(model=str(tmp_path / "run"), data=data, device="cpu"))
    assert measured == []


def test_baselines_are_measured_with_the_generator() -> None:
    figures = {
        "val.mean.jitter_ratio": 0.0,
        "val.jitter_ratio": 0.5,
        "val.short.nearest.jitter_ratio": 2.0,
        "truth.opening": 3.0,
    }
    assert verb.beside_baselines(figures) == [
        ("val.jitter_ratio", 0.5, 0.0, ""),
        ("val.short.jitter_ratio", "", "", 2.0),
        ("truth.opening", 3.0, "", ""),
    ]
