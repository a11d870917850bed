"""The training loop with a linear task: saving, resuming, reports and errors."""

from __future__ import annotations

import json
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import Tensor, nn

from line_task import CONFIG, Line, at, rows
from lipsmith.disk import folder_lock
from lipsmith.errors import InputError, UsageError, WeightsError
from lipsmith.files import LOCKS
from lipsmith.training import loop
from lipsmith.training.checkpoint import load_checkpoint, save_checkpoint
from lipsmith.training.loop import Settings, fit
from training_runs import interrupted


def test_training_keeps_the_best_weights_with_their_record(tmp_path: Path) -> None:
    task = Line(replace(CONFIG, steps=60, minutes=30.0, validate_every=20))
    best = fit(task, at(tmp_path))
    assert best["score"] > -0.2
    card = json.loads((tmp_path / "line.json").read_text())
    assert card["validation"] == best
    assert (card["training"]["steps"], card["training"]["minutes"], card["training"]["start"]) == (60, 30.0, None)
    weight = load_file(tmp_path / "line.safetensors")["0.weight"]
    assert float((weight - 2).abs()) == pytest.approx(-best["score"])
    assert task.trials == [2, None, None, None]


@pytest.mark.parametrize("lacking", ["start", "network", "optimizer", "task"])
def test_a_checkpoint_that_lacks_something_is_refused(tmp_path: Path, lacking: str) -> None:
    fit(Line(), at(tmp_path))
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved is not None
    save_checkpoint(tmp_path / "checkpoint.pt", {name: value for name, value in saved.items() if name != lacking})
    with pytest.raises(WeightsError, match="is damaged, or of another version; remove it"):
        fit(Line(), at(tmp_path))


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = fit(Line(), at(tmp_path / "whole"))
    interrupted(Line(), at(tmp_path / "stopped"))
    resumed = Line()
    assert fit(resumed, at(tmp_path / "stopped")) == whole
    assert resumed.drawn == CONFIG.steps
    left, right = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "stopped"))
    assert left is not None
    assert right is not None
    for part in ("network", "optimizer", "random"):
        assert str(left[part]) == str(right[part])
    drop = {"minutes", "train/samples_per_second", "train/data_share"}
    logs = [
        [{key: value for key, value in row.items() if key not in drop} for row in rows(tmp_path / name)]
        for name in ("whole", "stopped")
    ]
    assert logs[0] == logs[1]
    assert [row["step"] for row in logs[0]] == [3, 5, 6, 9, 10, 12, 12]


def test_an_interrupted_step_is_finished_and_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Interrupted(Line):
        def batch(self, random: torch.Generator) -> Tensor:
            if self.drawn == 7:
                signal.raise_signal(signal.SIGINT)
            return super().batch(random)

    rarely = replace(CONFIG, checkpoint_minutes=60.0)
    whole = fit(Line(rarely), at(tmp_path / "whole"))
    with caplog.at_level(logging.INFO, "lipsmith"), pytest.raises(KeyboardInterrupt):
        fit(Interrupted(rarely), at(tmp_path / "stopped"))
    assert "stopped after step 8, which is saved" in caplog.messages
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = Line(rarely)
    assert fit(resumed, at(tmp_path / "stopped")) == whole
    assert resumed.drawn == CONFIG.steps
    left, right = (load_file(tmp_path / name / "line.safetensors") for name in ("whole", "stopped"))
    assert torch.equal(left["0.weight"], right["0.weight"])


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signal")
def test_a_closed_terminal_lets_the_step_be_saved(tmp_path: Path) -> None:
    """Shell and kernel both send a signal."""

    class HungUp(Line):
        def batch(self, random: torch.Generator) -> Tensor:
            if self.drawn == 7:
                for _ in range(2):
                    signal.raise_signal(signal.SIGHUP)
            return super().batch(random)

    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(HungUp(replace(CONFIG, checkpoint_minutes=60.0)), at(tmp_path))
    finally:
        signal.signal(signal.SIGHUP, before)
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved is not None
    assert saved["step"] == 8


def test_an_interrupted_last_validation_is_finished_and_saved(tmp_path: Path) -> None:
    class Interrupted(Line):
        def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
            if self.drawn == CONFIG.steps:
                signal.raise_signal(signal.SIGINT)
            return super().validate(averaged, trials)

    rarely = replace(CONFIG, checkpoint_minutes=60.0)
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(rarely), at(tmp_path))
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved is not None
    assert (saved["step"], saved["validated"]) == (CONFIG.steps, CONFIG.steps)


def test_a_second_interruption_stops_at_once(tmp_path: Path) -> None:
    class Interrupted(Line):
        def batch(self, random: torch.Generator) -> Tensor:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            return super().batch(random)

    task = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        fit(task, at(tmp_path))
    assert task.drawn == 0
    assert not (tmp_path / "checkpoint.pt").exists()


class Unread(Line):
    """Reads no footage."""

    def load(self, data: Path, device: torch.device) -> str:
        raise AssertionError


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with folder_lock(tmp_path, "training"), pytest.raises(UsageError, match="Another run is training in"):
        fit(Unread(), at(tmp_path))


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_footage_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, whom no mode stops
    with pytest.raises(UsageError, match="run cannot be written to; choose another"):
        fit(Unread(), at(tmp_path / "run"))


def test_unusable_footage_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    class Unusable(Line):
        def load(self, data: Path, device: torch.device) -> str:
            raise InputError("no clips")

    with pytest.raises(InputError):
        fit(Unusable(), at(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError):
        fit(Unusable(), at(tmp_path / "mine"))
    assert (tmp_path / "mine").is_dir()


def test_a_resumed_run_says_what_differs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Other(Line):
        def load(self, data: Path, device: torch.device) -> str:
            return "another line"

    fit(Line(replace(CONFIG, steps=2)), at(tmp_path))
    with caplog.at_level(logging.INFO, "lipsmith"):
        fit(Line(replace(CONFIG, steps=4)), at(tmp_path))
        fit(Other(replace(CONFIG, steps=6, learning_rate=0.2)), at(tmp_path))
    begins = [line for line in caplog.messages if "from step" in line]
    assert begins == [
        "a line; from step 2",
        "another line; from step 4; another learning_rate than before; another footage than before",
    ]


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    best = fit(Line(), at(tmp_path))
    before = (tmp_path / "log.jsonl").read_text()
    again = Line()
    assert fit(again, at(tmp_path)) == best
    assert again.drawn == CONFIG.steps
    assert (tmp_path / "log.jsonl").read_text() == before


def test_a_finished_run_keeps_what_finishing_changed(tmp_path: Path) -> None:
    class Finished(Line):
        def finish(self, folder: Path) -> dict[str, float]:
            self.trials.append(-1)
            return {"score": 7.0}

    task, again = Finished(), Finished()
    assert fit(task, at(tmp_path))["score"] == 7.0
    before = (tmp_path / "log.jsonl").read_text()
    assert json.loads(before.splitlines()[-1])["val/score"] == 7.0
    assert fit(again, at(tmp_path))["score"] == 7.0
    assert (task.trials.count(-1), again.trials.count(-1)) == (1, 0)
    assert (tmp_path / "log.jsonl").read_text() == before


def test_a_run_of_another_network_is_not_resumed(tmp_path: Path) -> None:
    fit(Line(replace(CONFIG, steps=1)), at(tmp_path))
    with pytest.raises(UsageError, match=r"checkpoint\.pt belongs to a run with another 'model'"):
        fit(Line(inputs=2), at(tmp_path))


def test_a_run_before_a_setting_was_renamed_is_resumed(tmp_path: Path) -> None:
    class Named(Line):
        def identity(self) -> dict[str, Any]:
            return {"model": {"neighbors": 2}}

    fit(Named(replace(CONFIG, steps=2)), at(tmp_path))
    path = tmp_path / "checkpoint.pt"
    saved = load_checkpoint(path)
    assert saved is not None
    save_checkpoint(path, saved | {"identity": {"model": {"neighbours": 2}}})
    again = Named(replace(CONFIG, steps=4))
    fit(again, at(tmp_path))
    assert len(again.seeds) == 2


def test_an_infinite_loss_is_skipped(tmp_path: Path) -> None:
    class Bad(Line):
        def losses(self, *given: Any) -> dict[str, Tensor]:  # noqa: ANN401
            terms = super().losses(*given)
            return {"l1": terms["l1"] * torch.inf} if self.drawn == 3 else terms

    best = fit(Bad(replace(CONFIG, steps=60, validate_every=60)), at(tmp_path))
    assert -0.5 < best["score"] <= 0


def test_a_batch_that_overflows_leaves_no_trace_in_the_statistics(tmp_path: Path) -> None:
    class Normalized(Line):
        def build(self) -> nn.Module:
            return nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))

        def batch(self, random: torch.Generator) -> Tensor:
            drawn = super().batch(random)
            return drawn * torch.inf if self.drawn == 3 else drawn

    fit(Normalized(), at(tmp_path))
    written = load_file(tmp_path / "line.safetensors")
    assert all(value.isfinite().all() for value in written.values())
    assert written["1.running_var"] != 1


def test_a_run_without_a_score_is_an_error(tmp_path: Path) -> None:
    class Diverged(Line):
        def validate(self, averaged: nn.Module, trials: int | None = None) -> dict[str, float]:
            return {"score": torch.nan}

    with pytest.raises(UsageError, match="score was not a number at any validation"):
        fit(Diverged(), at(tmp_path))
    assert not (tmp_path / "line.safetensors").exists()


def test_a_run_records_its_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    still = replace(CONFIG, steps=1, learning_rate=0.0)
    fit(Line(still), at(tmp_path / "first"))
    first = str(tmp_path / "first")
    fit(Line(replace(still, seed=5)), at(tmp_path / "second", start=first))
    begun, copied = (load_file(tmp_path / name / "line.safetensors") for name in ("first", "second"))
    assert torch.equal(begun["0.weight"], copied["0.weight"])
    saved = load_checkpoint(tmp_path / "second" / "checkpoint.pt")
    assert saved is not None
    save_checkpoint(tmp_path / "second" / "checkpoint.pt", saved | {"best": {}})
    with caplog.at_level(logging.INFO, "lipsmith"):
        fit(Line(replace(still, steps=2)), at(tmp_path / "second", start="nothing"))
    assert f"{tmp_path / 'second'} continues from its checkpoint, so --start nothing is ignored" in caplog.messages[0]
    assert json.loads((tmp_path / "second" / "line.json").read_text())["training"]["start"] == first
    caplog.clear()
    with caplog.at_level(logging.INFO, "lipsmith"):
        fit(Line(replace(still, steps=2)), at(tmp_path / "second", start=first))  # the same command again
    assert "ignored" not in caplog.messages[0]
    with pytest.raises(WeightsError, match="No model"):
        fit(Line(still), at(tmp_path / "third", start=str(tmp_path / "none")))
    with pytest.raises(UsageError, match="another architecture"):
        fit(Line(still, inputs=2), at(tmp_path / "third", start=first))


def test_a_run_is_never_worse_than_its_start(tmp_path: Path) -> None:
    fit(Line(replace(CONFIG, steps=60)), at(tmp_path / "good"))
    wild = Line(replace(CONFIG, learning_rate=30.0, warmup=0))
    best = fit(wild, at(tmp_path / "wild", start=str(tmp_path / "good")))
    assert best["step"] == 0
    assert wild.trials == [None] * 4  # the start, and after 5, 10 and 12 steps
    good, kept = (load_file(tmp_path / name / "line.safetensors") for name in ("good", "wild"))
    assert torch.equal(good["0.weight"], kept["0.weight"])
    assert rows(tmp_path / "wild")[0]["val/score"] == pytest.approx(best["score"], rel=1e-5)


def test_a_validation_says_whether_it_is_the_best(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lipsmith"):
        fit(Line(replace(CONFIG, learning_rate=0.0)), at(tmp_path))
    told = [line.endswith("; the best so far") for line in caplog.messages if line.startswith("val at")]
    assert told == [True, False, False]


def test_a_run_stops_when_the_score_does_not_improve(tmp_path: Path) -> None:
    still = replace(CONFIG, learning_rate=0.0, steps=100, validate_every=5, patience=2)
    fit(Line(still), at(tmp_path))
    assert [row["step"] for row in rows(tmp_path) if "val/score" in row] == [5, 10, 15]  # the first is the best
    again = Line(still)
    fit(again, at(tmp_path))
    assert again.drawn == 15
    with pytest.raises(ValueError, match="patience are at least 1"):
        replace(CONFIG, patience=0)


class Second(Fabric):
    """Simulates the second of several processes."""

    global_rank = 1
    is_global_zero = False


def test_the_second_process_draws_other_samples_and_reports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "make_fabric", lambda device: Second(accelerator=device, devices=1))
    task = Line()
    told: list[int] = []
    with caplog.at_level(logging.INFO, "lipsmith"):
        fit(task, Settings(tmp_path, tmp_path / "run", "cpu"), lambda done, total: told.append(done))
    assert set(task.seeds) == {CONFIG.seed + 1}
    assert not (tmp_path / "run").exists()
    assert told == task.trials == caplog.messages == []


def test_a_resumed_second_process_draws_other_samples_than_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(Line(), at(tmp_path))
    monkeypatch.setattr(loop, "make_fabric", lambda device: Second(accelerator=device, devices=1))
    resumed = Line()
    fit(resumed, at(tmp_path))
    assert resumed.drawn == CONFIG.steps
    assert set(resumed.seeds).isdisjoint({CONFIG.seed, CONFIG.seed + 1})


@pytest.mark.parametrize("change", [{"learning_rate": -1.0}, {"ema": 1.5}, {"warmup": -5}, {"seed": -1}])
def test_a_setting_outside_its_range_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should be"):
        replace(CONFIG, **change)


@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"validate_every": 0}, {"log_every": 0}, {"minutes": 0.0}, {"gradient_clip": 0.0}],
)
def test_a_run_that_would_train_nothing_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|above 0"):
        replace(CONFIG, **change)
