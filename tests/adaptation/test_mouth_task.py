"""What an adaptation learns of a person's speech, and when it learns nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from landmark_clips import MOUTH, LoudStages, talking_clip, write_clips
from lipsmith.adaptation import mouth_task
from lipsmith.adaptation.mouth_task import MouthTask, mouth_config, speaks_itself
from lipsmith.config import load_config
from lipsmith.data.clips import PreparedClip
from lipsmith.errors import InputError, WeightsError
from lipsmith.inference.model_folder import find_model
from lipsmith.models.landmarks.generator import build_landmark_generator
from lipsmith.training.checkpoint import save_weights
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.loop import Settings, fit

CONFIG = replace(load_config(LandmarkTraining, "landmarks", "adapt"), model=MOUTH, steps=4, batch=4, validate_every=4)


def silent(clip: PreparedClip) -> PreparedClip:
    return replace(clip, mel=np.full_like(clip.mel, -4))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """A model that opens the mouth by loudness."""
    monkeypatch.setattr(mouth_task, "load_backend", lambda *_: LoudStages())
    return SimpleNamespace(settings=SimpleNamespace(window=7))


@pytest.mark.parametrize("lag", [0.0, 0.5])
def test_a_film_teaches_speech_where_the_mouth_follows_it(heard: Any, tmp_path: Path, lag: float) -> None:  # noqa: ANN401
    write_clips(tmp_path, [talking_clip(0, "anna", frames=200, lag=lag)])
    assert speaks_itself(heard, tmp_path) == (lag == 0)


def test_a_silent_or_short_film_teaches_no_speech(heard: Any, tmp_path: Path) -> None:  # noqa: ANN401
    write_clips(tmp_path / "silent", [silent(talking_clip(0, "anna", frames=200))])
    write_clips(tmp_path / "short", [talking_clip(0, "anna", frames=40)])
    assert not speaks_itself(heard, tmp_path / "silent")
    assert not speaks_itself(heard, tmp_path / "short")
    with pytest.raises(InputError, match="no face stays in view for 14 frames"):
        MouthTask(CONFIG).load(tmp_path / "short", torch.device("cpu"))


def test_training_never_draws_a_held_back_frame(tmp_path: Path) -> None:
    write_clips(tmp_path, [talking_clip(0, "anna", frames=80), talking_clip(1, "anna", frames=40)])
    task = MouthTask(CONFIG)
    assert task.load(tmp_path, torch.device("cpu")) == "67 frames, 8 held back"
    [trial] = task.trials
    assert np.flatnonzero(trial.counted).tolist() == list(range(72, 80))


def test_a_clip_without_a_whole_window_of_the_face_is_not_used(tmp_path: Path) -> None:
    clip = talking_clip(0, "anna", frames=80)
    write_clips(tmp_path, [replace(clip, tracked=np.arange(80) % 7 > 0), talking_clip(1, "anna", frames=100)])
    task = MouthTask(CONFIG)
    assert task.load(tmp_path, torch.device("cpu")) == "85 frames, 10 held back"
    write_clips(tmp_path, [replace(clip, tracked=np.arange(80) % 7 > 0)])
    with pytest.raises(InputError, match="no face stays in view for 14 frames"):
        task.load(tmp_path, torch.device("cpu"))


def test_the_mean_of_start_and_training_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, validate = count(), MouthTask.validate
    measured: list[dict[str, float]] = []

    def rising(*given: Any) -> dict[str, float]:  # noqa: ANN401 - what `validate` takes
        measured.append(validate(*given))
        return measured[-1] | {"score": float(next(scores))}

    monkeypatch.setattr(MouthTask, "validate", rising)
    write_clips(tmp_path / "clips", [talking_clip(0, "anna", frames=80)])
    torch.manual_seed(0)
    generator = build_landmark_generator(MOUTH)
    save_weights(tmp_path / "start" / "landmarks", generator.state_dict(), {})
    task = MouthTask(replace(CONFIG, ema=0.0))
    fit(task, Settings(tmp_path / "clips", tmp_path / "run", "cpu", str(tmp_path / "start")))
    trained = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["network"]
    written = load_file(tmp_path / "run" / "landmarks.safetensors")
    name = "transformer.lips.weight"
    start, end = generator.state_dict()[name], trained[f"generator.{name}"]
    assert not torch.equal(start, end)
    assert torch.allclose(written[name], (start + end) / 2, atol=1e-6)
    assert torch.equal(written["speech.levels.0.0.weight"], generator.state_dict()["speech.levels.0.0.weight"])
    again = MouthTask(CONFIG)
    again.load_state_dict(task.state_dict())
    assert torch.equal(again.state_dict()["start"][name], start)
    assert all(found["score"] == -found["lip_lmd"] < 0 for found in measured)  # the nearer the lips, the better


def test_the_config_takes_the_sizes_of_the_model() -> None:
    config = mouth_config(find_model("fast"), 8.0)
    assert (config.minutes, config.model.window) == (2.0, 25)
    with pytest.raises(WeightsError, match="landmarks"):
        mouth_config(find_model("sync"), 8.0)
