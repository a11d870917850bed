"""The lip detector's training, and the model folder that the renderer's training reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from landmark_clips import talking_clip
from lipsmith.errors import WeightsError
from lipsmith.models.lip_detector import LipDetectorConfig
from lipsmith.training.lips.config import LipsTraining
from lipsmith.training.lips.task import LipsTask, load_lip_detector
from lipsmith.training.loop import Settings, fit
from renderer_clips import prepared, write_model

TINY = LipsTraining(
    model=LipDetectorConfig(width=16, widths=(4, 8), hidden=8),
    steps=60,
    batch=16,
    learning_rate=1e-2,
    warmup=5,
    ema=0.9,
    validate_every=30,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    prepared(root, [talking_clip(0, "p0"), talking_clip(1, "p1"), talking_clip(8, "v8", "val")])
    fit(LipsTask(TINY), Settings(root, root / "run", "cpu"))
    return root / "run"


def test_training_lowers_the_error(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    scores = [row["val/score"] for row in rows if "val/score" in row]
    assert len(scores) == 2
    best = json.loads((run / "lips.json").read_text())["validation"]
    assert best["score"] == pytest.approx(max(scores), abs=1e-3)
    assert -12 < best["score"] == pytest.approx(-best["points"] - best["gaps"])


def test_the_detector_of_a_run_is_frozen(run: Path) -> None:
    detector = load_lip_detector(str(run / "lips"))
    assert not detector.training
    assert not any(parameter.requires_grad for parameter in detector.parameters())
    assert detector.detect(torch.rand(2, 3, 32, 32), torch.full((2, 2), 0.6)).shape == (2, 40, 2)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not a lip detector"):
        load_lip_detector(str(write_model(tmp_path / "tiny")))
