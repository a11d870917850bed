"""The origin of a model: found through runs, and named on its card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipsmith.errors import UsageError
from lipsmith.release.card import model_card
from lipsmith.release.export import export
from lipsmith.release.networks import origin_of
from lipsmith.training.checkpoint import save_weights


def begun(folder: Path, network: str, start: Path | str | None) -> Path:
    """Write a run whose record says that it began with `start`."""
    training = {"start": start and str(start)}
    save_weights(folder / network, {"a": torch.zeros(1)}, {"training": training, "validation": {}})
    return folder


def test_the_origin_of_a_model_is_followed_through_runs(tmp_path: Path) -> None:
    scratch = begun(tmp_path / "scratch", "landmarks", None)
    tuned = begun(tmp_path / "tuned", "renderer", begun(tmp_path / "first", "renderer", "fast"))
    assert origin_of(begun(tmp_path / "next", "landmarks", scratch), "landmarks") is None
    assert origin_of(tuned, "renderer") == "fast"
    assert origin_of(Path("models/mine"), "renderer") == "models/mine"
    circle = begun(tmp_path / "circle", "renderer", tmp_path / "circle")
    assert origin_of(circle, "renderer") == str(circle)
    with pytest.raises(UsageError, match="Weights derive from fast, whose license"):
        export(scratch, tuned, tmp_path / "model", "mine", data="", hardware="", license=None)


def test_a_run_of_another_system_is_refused(tmp_path: Path) -> None:
    scratch = begun(tmp_path / "scratch", "landmarks", None)
    save_weights(tmp_path / "other" / "renderer", {"a": torch.zeros(1)}, {"training": {"system": "wav2lip"}})
    with pytest.raises(UsageError, match="is a run of wav2lip, which no dub can use"):
        export(scratch, tmp_path / "other", tmp_path / "model", "mine", data="", hardware="", license=None)


@pytest.mark.parametrize("start", [None, "fast"])
def test_the_card_names_the_start_of_a_run(start: str | None) -> None:
    of_landmarks, of_renderer = ({"training": {"start": begun}, "validation": {}} for begun in (None, start))
    card = model_card("mine", of_landmarks, of_renderer, data="", hardware="", license="")
    assert ("| begun with | n/a | fast |" in card) == ("begun with" in card) == (start is not None)
