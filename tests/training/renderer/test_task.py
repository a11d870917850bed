"""The renderer's training: trained parts, the adversary, and an interrupted run that continues."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from landmark_clips import talking_clip
from lipsmith.config import build
from lipsmith.errors import InputError, UsageError
from lipsmith.models.renderer.network import Renderer
from lipsmith.training.checkpoint import load_checkpoint, save_weights
from lipsmith.training.loop import Settings, fit
from lipsmith.training.renderer.config import RendererTraining
from lipsmith.training.renderer.task import RendererTask
from renderer_clips import SMALL, prepared
from training_runs import interrupted


def trained(config: RendererTraining, data: Path, run: Path, start: str | None = None) -> dict[str, float]:
    return fit(RendererTask(config), Settings(data, run, "cpu", start))


def test_a_resumed_run_equals_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole = trained(SMALL, data, tmp_path / "whole")
    interrupted(RendererTask(SMALL), Settings(data, tmp_path / "stopped", "cpu"))
    assert trained(SMALL, data, tmp_path / "stopped") == whole
    left, right = (load_file(tmp_path / name / "renderer.safetensors") for name in ("whole", "stopped"))
    assert left.keys() == right.keys()
    for name, weights in left.items():
        assert torch.equal(weights, right[name]), name


def test_a_pool_smaller_than_the_references_is_refused() -> None:
    assert replace(SMALL, pool=2).pool == 2
    with pytest.raises(UsageError, match="mine: pool = 2 is less than the 3 references"):
        build(RendererTraining, {"pool": 2}, "mine")


def test_the_adversary_starts_late_and_is_annealed(data: Path, tmp_path: Path) -> None:
    trained(SMALL, data, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "train/gan" in row] == [3, 4]
    assert [row["step"] for row in rows if "train/discriminator" in row] == [3, 4]
    assert [row["step"] for row in rows if "val/score" in row] == [2, 4]
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved is not None
    ours, theirs = (state["param_groups"][0]["lr"] for state in (saved["optimizer"], saved["adversary"]["optimizer"]))
    assert theirs == ours < 0.2 * SMALL.learning_rate


def test_lips_are_compared_where_a_detector_finds_them(data: Path, tmp_path: Path) -> None:
    weights = replace(SMALL.weights, lips=1.0, gaps=2.0)
    best = trained(replace(SMALL, weights=weights, gan_from=2.0), data, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all({"train/lips", "train/gaps"} <= row.keys() for row in rows if "train/pixel" in row)
    assert best["score"] == pytest.approx(
        best["face_psnr"] - 2 * abs(1 - best["sharpness"]) - best["lips"] - best["gaps"], abs=1e-3
    )


def test_extra_weights_of_a_start_are_ignored(data: Path, tmp_path: Path) -> None:
    model = SMALL.model.without(["lips"])
    config = replace(SMALL, model=model, steps=1, learning_rate=0.0)
    trained(config, data, tmp_path / "new")
    new = load_file(tmp_path / "new" / "renderer.safetensors")
    surplus = {name: x for name, x in Renderer(SMALL.model).state_dict().items() if name.startswith("lip_encoder.")}
    assert not new.keys() & surplus.keys()
    save_weights(tmp_path / "old" / "renderer", new | surplus, {"training": {"model": asdict(model)}})
    trained(config, data, tmp_path / "next", str(tmp_path / "old"))
    following = load_file(tmp_path / "next" / "renderer.safetensors")
    assert following.keys() == new.keys()
    assert all(torch.equal(weights, following[name]) for name, weights in new.items())


def test_a_run_without_an_adversary_has_no_discriminator(data: Path, tmp_path: Path) -> None:
    trained(replace(SMALL, steps=1, gan_from=2.0), data, tmp_path)
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved is not None
    assert saved["adversary"] is None


@pytest.mark.parametrize(("frames", "said"), [(15, "train has 16 frames"), (49, "val lasts 2 s")])
def test_footage_that_is_too_short_is_refused(frames: int, said: str, tmp_path: Path) -> None:
    clips = [talking_clip(0, "p0", "train", frames), talking_clip(1, "p1", "val", frames)]
    with pytest.raises(InputError, match=said):
        trained(SMALL, prepared(tmp_path, clips), tmp_path / "run")


def test_a_run_can_start_from_another_run_with_other_parts(data: Path, tmp_path: Path) -> None:
    brief = replace(SMALL, steps=1)
    trained(brief, data, tmp_path / "first")
    still = replace(brief, learning_rate=0.0)
    trained(still, data, tmp_path / "second", str(tmp_path / "first"))
    first, second = (load_file(tmp_path / name / "renderer.safetensors") for name in ("first", "second"))
    assert all(torch.equal(weights, second[name]) for name, weights in first.items())
    without = replace(still, model=replace(still.model, audio="none"))
    trained(without, data, tmp_path / "ablation", str(tmp_path / "first"))
    ablation = load_file(tmp_path / "ablation" / "renderer.safetensors")
    assert ablation.keys() == {name for name in first if not name.startswith("audio.")}
    assert all(torch.equal(weights, first[name]) for name, weights in ablation.items())
    grown = replace(still, model=replace(still.model, context=4))
    trained(grown, data, tmp_path / "grown", str(tmp_path / "first"))
    larger = load_file(tmp_path / "grown" / "renderer.safetensors")
    assert {name for name in larger if "context" in name} == larger.keys() - first.keys() != set()
    assert all(torch.equal(weights, larger[name]) for name, weights in first.items())
    decoder = replace(SMALL, train_only="decoder", weights=replace(SMALL.weights, aligned_pixel=0))
    trained(decoder, data, tmp_path / "decoder", str(tmp_path / "first"))
    saved = load_checkpoint(tmp_path / "decoder" / "checkpoint.pt")
    assert saved is not None
    painted = {name.removeprefix("network."): weights for name, weights in saved["network"].items()}
    moved = {name.partition(".")[0] for name, weights in first.items() if not torch.equal(weights, painted[name])}
    assert "decoder" in moved
    assert moved.isdisjoint({"reference_encoder", "target_encoder", "alignment"})
    with pytest.raises(UsageError, match="another 'train_only'"):
        trained(brief, data, tmp_path / "decoder")
    other = replace(brief, model=replace(brief.model, coarse=12))
    with pytest.raises(UsageError, match="another architecture"):
        trained(other, data, tmp_path / "fourth", str(tmp_path / "first"))
