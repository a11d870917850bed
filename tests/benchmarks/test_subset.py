"""A prepared folder of some clips of another one: which clips these are, and that they load."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from landmark_clips import talking_clip, write_clips
from lipsmith.data.clips import load_clip, read_manifest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

CLIPS = (("ann", "train", 60), ("ann", "train", 40), ("ben", "train", 30), ("ben", "train", 50), ("cid", "val", 50))
"""Identity, split and frames, at 25 a second, of each clip, whose name ends with its number here."""


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ([], [0, 1, 2, 3, 4]),
        (["--least", "1.6", "--most", "2"], [1, 3, 4]),
        (["--clips", "1"], [0, 2, 4]),
        (["--people", "1"], [0, 1, 4]),
        (["--people", "1", "--clips", "1", "--shortest"], [2, 4]),
        (["--clips", "1", "--shortest"], [1, 2, 4]),
        (["--least", "1.3", "--people", "1", "--clips", "1", "--shortest"], [1, 4]),
    ],
)
def test_the_chosen_clips_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], numbers: list[int]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    clips = [talking_clip(number, name, split, frames) for number, (name, split, frames) in enumerate(CLIPS)]
    write_clips(tmp_path / "all", clips)
    monkeypatch.setattr(sys, "argv", ["subset.py", str(tmp_path / "all"), str(tmp_path / "few"), *options])
    importlib.import_module("subset").main()
    found = read_manifest(tmp_path / "few")
    assert [record.clip for record in found] == [clips[number].record.clip for number in numbers]
    for record, number in zip(found, numbers, strict=True):
        loaded = load_clip(tmp_path / "few", record, images=False)
        assert np.array_equal(loaded.landmarks, clips[number].landmarks)
