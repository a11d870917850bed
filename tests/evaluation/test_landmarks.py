"""Evaluation of the landmark generator on prepared clips, and the clips whose sound is found to be off."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from landmark_clips import talking_clip, write_clips
from lipsmith.cli import evaluate_landmarks as verb
from lipsmith.data.clips import read_manifest
from lipsmith.errors import InputError, UsageError
from lipsmith.evaluation.landmarks import (
    agreement,
    choose_shifts,
    evaluate,
    find_offsets,
    shift_seconds,
    write_offsets,
)
from lipsmith.evaluation.trials import make_trial
from lipsmith.face.landmarks import CONTENT, NUM_CONTENT
from lipsmith.models.landmarks.generator import LandmarkConfig, build_landmark_generator
from lipsmith.speech.mel import MEL_LIMIT
from lipsmith.training.landmarks.task import LandmarkTraining
from lipsmith.training.run import save_weights

Floats = NDArray[np.float32]
LOWER = CONTENT.index(14)
ZERO = 20
"""Index of no shift among the 41."""


class Loud:
    """Opens the mouth as the middle of what it hears is loud."""

    def __call__(self, stage: str, /, **inputs: Floats) -> tuple[Floats, ...]:
        if stage == "speech":
            return (inputs["mel"][:, 0, 0, 8:9] + MEL_LIMIT,)
        tokens = inputs["tokens"]
        content = np.full((*tokens.shape[:2], NUM_CONTENT, 2), 0.5, np.float32)
        content[:, :, LOWER, 1] += 0.01 * tokens[..., 0]
        return (content,)


def ignore(done: int, total: int) -> None:
    """No progress bar."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lags = {"early": -0.16, "right": 0.0, "late": 0.12}
    clips = [talking_clip(seed, name, "val", 100, lag) for seed, (name, lag) in enumerate(lags.items())]
    write_clips(tmp_path, clips)
    return tmp_path


@pytest.mark.parametrize("lag", [-0.2, -0.08, 0.0, 0.12, 0.2])
def test_agreement_is_highest_at_the_lag_of_the_sound(lag: float) -> None:
    agreed = agreement(Loud(), make_trial(talking_clip(4, "a", frames=120, lag=lag), 4), 15)
    for curve in (agreed.whole, agreed.before, agreed.counted):
        assert curve.shape == (41,)
        assert curve.max() > 0.9
        assert shift_seconds(int(curve.argmax())) == pytest.approx(lag, abs=0.021)


def test_each_clips_lag_is_found(data: Path) -> None:
    found = find_offsets(Loud(), data, "val", 15, 4, ignore)
    seconds = {clip.split("/")[1]: value for clip, value in found.seconds.items()}
    assert seconds["early"] == pytest.approx(-0.16, abs=0.021)
    assert seconds["right"] == pytest.approx(0.0, abs=0.021)
    assert seconds["late"] == pytest.approx(0.12, abs=0.021)
    assert found.figures["shifted.opening_r"] > found.figures["opening_r"] + 0.1
    assert found.figures["clips"] == 3
    assert found.figures["moved"] >= 2
    assert [row["offset"] for row in found.rows] == list(found.seconds.values())


def test_what_was_found_is_noted_and_then_nothing_more_is_found(data: Path) -> None:
    write_offsets(data, find_offsets(Loud(), data, "val", 15, 4, ignore).seconds)
    again = find_offsets(Loud(), data, "val", 15, 4, ignore)
    assert max(abs(value) for value in again.seconds.values()) <= 0.02
    # Offsets add up: a second note of 0.04 s moves what the first one left.
    before = {record.clip: record.offset for record in read_manifest(data)}
    clip = next(iter(before))
    write_offsets(data, {clip: 0.04})
    after = {record.clip: record.offset for record in read_manifest(data)}
    assert after.pop(clip) == pytest.approx(before.pop(clip) + 0.04)
    assert after == before


def peaked(index: int, height: float) -> NDArray[np.float64]:
    curve = np.full(41, 0.1)
    curve[index] = height
    return curve


def test_only_a_clear_optimum_of_a_long_clip_counts_alone() -> None:
    long = [make_trial(talking_clip(seed, name, frames=60), 4) for seed, name in enumerate("ab")]
    brief = make_trial(talking_clip(2, "c", frames=30), 4)
    trials = [*long, brief]
    assert choose_shifts(trials, [peaked(25, 0.9), peaked(25, 0.12), peaked(25, 0.12)]) == [25, ZERO, ZERO]


def test_a_brief_clip_follows_its_identity() -> None:
    trials = [make_trial(talking_clip(seed, "a", frames=frames), 4) for seed, frames in enumerate((100, 100, 30))]
    assert choose_shifts(trials, [peaked(25, 0.9), peaked(25, 0.8), peaked(3, 0.9)]) == [25, 25, 25]


def test_figures_stand_beside_the_baselines_and_the_leak(data: Path) -> None:
    found = evaluate(Loud(), data, "val", 15, 4, ignore)
    figures = found.figures
    assert figures["clips"] == 3
    # 100 frames: the second half from frame 50 and 0.2 s on.
    assert figures["frames"] == 3 * 45
    assert figures["mean.opening_r"] == 0.0
    assert figures["opening_r"] > figures["leak_r"] + 0.2
    assert not any(name.startswith("short.") for name in figures)
    assert [row["identity"] for row in found.rows] == ["early", "right", "late"]


def test_clips_under_two_seconds_are_told_apart(tmp_path: Path) -> None:
    write_clips(tmp_path, [talking_clip(0, "a", "val", 100), talking_clip(1, "b", "val", 40)])
    figures = evaluate(Loud(), tmp_path, "val", 15, 4, ignore).figures
    assert (figures["clips"], figures["short.clips"], figures["short.frames"]) == (1, 1, 40)


def write_run(folder: Path) -> None:
    """A training run's untrained weights."""
    model = LandmarkConfig(
        dim=8,
        layers=1,
        heads=2,
        feed_forward=8,
        window=12,
        references=4,
        speech_channels=(2, 2, 2, 2, 2),
        points="perceptron",
        point_channels=(8,),
    )
    training = LandmarkTraining(model=model)
    card = {"training": {**vars(training), "model": vars(model)}, "validation": {}}
    plain = json.loads(json.dumps(card, default=vars))
    save_weights(folder / "landmarks", build_landmark_generator(model).state_dict(), plain)


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
    with pytest.raises(UsageError, match="--overwrite"):
        verb.run(verb.Options(model=str(tmp_path / "run"), data=data, split=("val",), device="cpu", json=table))


def test_a_split_that_is_missing_is_told_before_the_others_are_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run")
    measured: list[str] = []
    monkeypatch.setattr("lipsmith.evaluation.landmarks.evaluate", lambda *words: measured.append(words[2]))
    with pytest.raises(InputError, match="'test'"):
        verb.run(verb.Options(model=str(tmp_path / "run"), data=data, device="cpu"))
    assert measured == []


def test_baselines_stand_beside_the_generator() -> None:
    figures = {"val.mean.jitter": 0.0, "val.jitter": 0.5, "val.short.nearest.jitter": 2.0, "truth.opening": 3.0}
    assert verb.beside_baselines(figures) == [
        ("val.jitter", 0.5, 0.0, ""),
        ("val.short.jitter", "", "", 2.0),
        ("truth.opening", 3.0, "", ""),
    ]
