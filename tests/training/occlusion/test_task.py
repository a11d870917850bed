"""The occlusion network's training, its model folder and its ONNX stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from landmark_clips import talking_clip
from lipsmith.data.clips import read_manifest
from lipsmith.errors import WeightsError
from lipsmith.models.occlusion import OcclusionConfig
from lipsmith.release.export_occlusion import export_occlusion
from lipsmith.training.loop import Settings, fit
from lipsmith.training.occlusion import pairs
from lipsmith.training.occlusion.captions import Captions
from lipsmith.training.occlusion.config import OcclusionTraining
from lipsmith.training.occlusion.pairs import Pairs, some_clips
from lipsmith.training.occlusion.sampler import DrawnPairs
from lipsmith.training.occlusion.task import OcclusionTask, missed_overlap
from renderer_clips import prepared

TINY = OcclusionTraining(
    model=OcclusionConfig((4, 8)),
    frames=4,
    captions=60,
    steps=90,
    log_every=10,
    batch=16,
    learning_rate=1e-2,
    warmup=5,
    ema=0.9,
    validate_every=30,
)
MASK = np.zeros((4, 32, 64), np.float32)
MASK[:, 8:28, 16:48] = 1


def gray_pairs(number: int) -> Pairs:
    """Return pairs whose brightness tells the clip; the lower quarter is drawn darker."""
    filmed = np.full((4, 32, 64, 3), 60 + 20 * number, np.uint8)
    drawn = filmed.copy()
    drawn[:, 24:] -= 10
    return Pairs(filmed, drawn, MASK)


@pytest.fixture(autouse=True)
def drawn_gray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing: no tiny model speaks."""
    monkeypatch.setattr(pairs, "load_backend", lambda _: None)
    monkeypatch.setattr(pairs, "_drawn", lambda clip, *_: gray_pairs(int(clip.record.clip[-1])))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return prepared(tmp_path, [talking_clip(0, "p0"), talking_clip(1, "p1"), talking_clip(8, "v8", "val")])


def test_training_lowers_the_error_and_its_network_is_exported(data: Path) -> None:
    (data / "run" / "drawn").mkdir(parents=True)
    fit(OcclusionTask(TINY, data / "run" / "drawn"), Settings(data, data / "run", "cpu"))
    assert not (data / "run" / "drawn").exists()
    rows = [json.loads(line) for line in (data / "run" / "log.jsonl").read_text().splitlines()]
    errors = [row["train/cells"] for row in rows if "train/cells" in row]
    assert np.mean(errors[-3:]) < 0.8 * errors[0]
    best = json.loads((data / "run" / "occlusion.json").read_text())["validation"]
    assert best["score"] == pytest.approx(best["overlap"] - 2 * best["alarms"])
    folder = data / "run" / "occlusion"
    export_occlusion(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["kind"] == "occlusion"
    assert set(config["files"]) == {"model.safetensors", "occlusion.onnx"}
    (found,) = ort.InferenceSession(folder / "occlusion.onnx").run(
        None, {"pictures": np.random.default_rng(0).random((3, 6, 32, 64), np.float32)}
    )
    assert found.shape == (3, 32, 64)
    assert found.min() >= 0
    assert found.max() <= 1


def test_objects_that_are_found_where_none_is_cost_the_score(data: Path) -> None:
    class Everywhere(nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(pictures), 32, 64)

    task = OcclusionTask(TINY, data / "drawn")
    task.load(data, torch.device("cpu"))
    figures = task.validate(Everywhere())
    assert figures["alarms"] == 1
    assert figures["score"] == pytest.approx(figures["overlap"] - 2)


def test_clean_pictures_have_no_object_and_keep_both_sides_together() -> None:
    cpu = torch.device("cpu")
    drawn = DrawnPairs([gray_pairs(0), gray_pairs(1)], ["p0", "p1"], Captions(TINY.captions, cpu), cpu)
    assert len(drawn) == 8
    batch = drawn.draw(32, 1.0, torch.Generator().manual_seed(1))
    assert not batch.opacity.any()
    assert batch.weight.max() > 1
    assert batch.weight.min() > 0
    filmed, of_drawn = batch.pictures[:, :3], batch.pictures[:, 3:]
    assert (filmed - of_drawn).abs().mean() < 0.1
    covered = drawn.draw(32, 0.0, torch.Generator().manual_seed(1))
    assert covered.opacity.amax((1, 2)).mean() > 0.9


def test_a_model_that_draws_no_mouths_is_named(data: Path) -> None:
    config = replace(TINY, drawn_by="occlusion")
    with pytest.raises(WeightsError, match="occlusion is a model of kind occlusion, which does not dub; give one that"):
        fit(OcclusionTask(config, data / "run" / "drawn"), Settings(data, data / "run", "cpu"))


def test_few_clips_of_a_person_are_spread_over_all(data: Path) -> None:
    records = read_manifest(data, "train")
    many = [records[0]] * 9 + [records[1]]
    assert [record.identity for record in some_clips(many, 3)] == ["p0"] * 3 + ["p1"]


def test_overlap_counts_by_weight() -> None:
    opacity = torch.zeros(1, 2, 2)
    opacity[0, 0] = 1
    weight = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert float(missed_overlap(opacity, opacity, weight)) == 0
    # Dice's coefficient is (2 x 0 + 1) / (0 + 2 + 1).
    assert float(missed_overlap(torch.zeros_like(opacity), opacity, weight)) == pytest.approx(2 / 3)
