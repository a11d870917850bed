"""What an adaptation trains on, and what it holds back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from landmark_clips import talking_clip
from lipsmith.adaptation.task import AdaptationTask, adaptation_config, held_back
from lipsmith.errors import InputError, WeightsError
from lipsmith.inference.model_folder import ModelFolder, find_model
from renderer_clips import SMALL, prepared


def test_the_last_tenth_is_held_back_with_a_gap() -> None:
    clip = talking_clip(0, "anna", frames=80)
    choice = held_back(clip)
    assert choice is not None
    assert (choice.allowed[0], choice.allowed[-1]) == (5, 66)  # 0.2 s; before 2.88 - 0.2 s
    assert choice.targets.tolist() == list(range(72, 80))
    assert set(choice.pool) <= set(choice.allowed)


def test_of_a_halved_clip_the_rest_is_neither() -> None:
    choice = held_back(talking_clip(0, "anna", frames=200), halved=True)
    assert choice is not None
    assert (choice.allowed[-1], choice.targets.tolist()) == (84, list(range(90, 100)))
    assert held_back(talking_clip(0, "anna", frames=80), halved=True) is None  # 1.6 s


def test_frames_without_a_face_are_no_references() -> None:
    clip = talking_clip(0, "anna", frames=80)
    tracked = np.arange(80) % 4 == 0
    choice = held_back(replace(clip, tracked=tracked))
    assert choice is None  # 15 are too few
    choice = held_back(replace(clip, tracked=np.arange(80) % 2 == 0))
    assert choice is not None
    assert (choice.allowed % 2 == 0).all()


def test_training_never_draws_a_held_back_frame(tmp_path: Path) -> None:
    data = prepared(tmp_path, [talking_clip(0, "anna", frames=80), talking_clip(1, "anna", frames=40)])
    task = AdaptationTask(SMALL)
    task.load(data, torch.device("cpu"))
    assert len(task.trials) == 1  # the second clip is too short, and not used at all
    assert task.trials[0][1].targets.images.shape[1] == 8
    random = torch.Generator().manual_seed(0)
    first, last = [], []
    for _ in range(40):
        batch = task.footage.draw(SMALL, random)
        for pictures in (batch.pool, batch.lips, batch.targets):
            numbers = 255 * pictures.images[..., -1, 16].mean(2) / 3  # brightness is three times the frame's number
            first.append(float(numbers.min()))
            last.append(float(numbers.max()))
    assert 4.0 < min(first) < 8.0
    assert 62.0 < max(last) < 67.5


def test_clips_that_are_all_too_short_are_refused(tmp_path: Path) -> None:
    data = prepared(tmp_path, [talking_clip(0, "anna", frames=40)])
    with pytest.raises(InputError, match="no face stays in view for 2 s"):
        AdaptationTask(SMALL).load(data, torch.device("cpu"))


def test_the_config_takes_the_sizes_of_the_model() -> None:
    fast = find_model("fast")
    config = adaptation_config(fast, 3.0)
    assert (config.minutes, config.model.references, config.train_only) == (3.0, 5, None)
    many = ModelFolder(fast.path, {**fast.config, "renderer": {"references": 25}})
    assert adaptation_config(many, 3.0).pool == 25
    with pytest.raises(WeightsError, match="renderer"):
        adaptation_config(find_model("sync"), 3.0)
