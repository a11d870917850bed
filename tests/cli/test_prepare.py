"""What `prepare` says of the people that it found in the folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsmith.cli import main
from lipsmith.cli.prepare import _in_several_splits
from lipsmith.data.clips import ClipRecord
from synthetic import STILL, make_film, speech


def test_a_person_in_two_splits_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train/same.mp4", "val/same_1.mp4", "val/other.mp4"):
        (tmp_path / "footage" / name).parent.mkdir(parents=True, exist_ok=True)
        make_film(tmp_path / "footage" / name, 1.0, motion=STILL, audio=speech(1.0))
    words = ["--side", "64", "--workers", "1"]
    assert main(["prepare", str(tmp_path / "footage"), str(tmp_path / "data"), *words]) == 0
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "several splits" in line]
    assert "same (train, val)" in told
    assert "other" not in told


def test_people_of_one_split_are_not_named() -> None:
    records = [ClipRecord(name, name[0], name[2], "", 1, 25.0, 1.0, 1.0) for name in ("a/x/1", "a/x/2", "b/y/1")]
    assert _in_several_splits(records) == []
