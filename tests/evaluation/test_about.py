"""What is said of each row of a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipsmith.cli.evaluate import Options, _about
from lipsmith.evaluation.about import UNTRAINED, about_model, about_outputs


def test_a_run_is_described_by_its_card_and_log(tmp_path: Path) -> None:
    training = {"system": "iplap", "clips": 3, "targets": 4, "minutes": 90, "start": None}
    card = {"training": training, "validation": {"step": 900.0}, "footage": "500 frames of 7 people"}
    (tmp_path / "renderer.json").write_text(json.dumps(card))
    (tmp_path / "log.jsonl").write_text('{"step": 500, "minutes": 44}\n{"step": 1000, "minutes": 88.2}\n{"step": 1')
    assert about_model(str(tmp_path)) == (
        "IP_LAP, trained for 88 minutes, 1,000 steps of 12 pictures (12,000 in all) on 500 frames of 7 people; "
        "weights of step 900."
    )
    (tmp_path / "about.txt").write_text("Narrow.")
    assert about_model(str(tmp_path)).endswith("weights of step 900. Narrow.")


def test_the_shipped_model_is_described() -> None:
    assert about_model("fast") == (
        "Last training of its landmark generator: 14 minutes on 52024 windows, 63 clips to validate on, "
        "begun with runs/placed; "
        "of its renderer: 2.2 minutes on 58704 frames of 242 people, 56 clips to validate on, "
        "begun with runs/scarce."
    )


@pytest.mark.parametrize("damage", ["", "[]", '{"renderer": 1}', '{"renderer": {"training": []}}'])
def test_a_model_without_a_readable_record_is_not_described(tmp_path: Path, damage: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "training.json").write_text(damage)
    assert about_model(str(tmp_path)).startswith("Training unknown")


def test_films_are_described_by_a_note_beside_them(tmp_path: Path) -> None:
    assert "Training unknown" in about_outputs(tmp_path)
    (tmp_path / "about.txt").write_text("Wav2Lip + GAN,\n  LRS2, 29 h.\n\nMade in May.")
    assert about_outputs(tmp_path) == f"Films in {tmp_path.name}. Wav2Lip + GAN, LRS2, 29 h."


def test_only_systems_that_are_measured_are_told_of() -> None:
    assert _about(Options(data=Path("data"), model="fast")).keys() == {*UNTRAINED, "fast"}
    about = _about(Options(data=Path("data"), model="fast", side=128, adapt=10.0))
    assert about["adapted"] == "fast, adapted for 10 minutes to the first half of each clip."
    assert about["enlarged"] == "fast without the references' detail."
