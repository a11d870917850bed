"""Trainings whose losses or weights stop being numbers."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from line_task import CONFIG, Line, at, rows
from lipsmith.errors import UsageError, WeightsError
from lipsmith.training.checkpoint import load_checkpoint
from lipsmith.training.loop import fit
from lipsmith.training.losses.adversarial import Adversary

LONG = replace(CONFIG, steps=1000, log_every=10, validate_every=50)


class Diverging(Line):
    """Its losses are not numbers after 60 steps."""

    def losses(self, network: nn.Module, batch: Tensor, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        terms = super().losses(network, batch, done, adversary)
        return terms if self.drawn <= 60 else {"l1": terms["l1"] * torch.nan}


def step_of(run: Path) -> int:
    saved = load_checkpoint(run / "checkpoint.pt")
    assert saved is not None
    return int(saved["step"])


def test_a_training_that_diverges_ends_and_keeps_the_last_sound_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the last 100 losses is a number; lower learning_rate"):
        fit(Diverging(LONG), at(tmp_path))
    assert step_of(tmp_path) == 60
    assert (tmp_path / "line.safetensors").exists()
    assert rows(tmp_path)[-1]["step"] == 160


def test_a_diverging_training_that_is_interrupted_keeps_the_last_sound_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Interrupted(Diverging):
        def batch(self, random: torch.Generator) -> Tensor:
            if self.drawn == 69:
                signal.raise_signal(signal.SIGINT)
            return super().batch(random)

    with caplog.at_level(logging.INFO, "lipsmith"), pytest.raises(KeyboardInterrupt):
        fit(Interrupted(LONG), at(tmp_path))
    assert caplog.messages[-1].startswith("stopped after step 70, which is not saved")
    assert step_of(tmp_path) == 60


def test_a_start_that_is_not_numbers_is_refused(tmp_path: Path) -> None:
    weights: Mapping[str, Tensor] = {"0.weight": torch.full((1, 1), torch.nan), "0.bias": torch.zeros(1)}
    (tmp_path / "start").mkdir()
    save_file(dict(weights), tmp_path / "start" / "line.safetensors")
    with pytest.raises(WeightsError, match="start has weights that are not numbers"):
        fit(Line(), at(tmp_path / "run", start=str(tmp_path / "start")))
