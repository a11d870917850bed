"""The processes that prepare clips."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import perilous
from lipsmith.data.prepare import prepare, workers
from lipsmith.data.prepare.workers import processes
from lipsmith.errors import LipsmithError
from synthetic import STILL, make_film, speech


def test_windows_has_fewer_processes_than_a_large_machine_has_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with processes(64) as pool:
        assert pool._max_workers == 61  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [1, 2])
def test_a_full_disk_ends_the_run_which_then_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each other film would take its time and fail, too."""
    root = tmp_path / "out"
    films = [make_film(tmp_path / f"{name}.mp4", 1.0, motion=STILL, audio=speech(1.0)) for name in "ab"]
    with monkeypatch.context() as patch:
        patch.setattr(workers, "_run", perilous.run_on_a_full_disk)
        with pytest.raises(LipsmithError, match=r"out was not written: the disk is full; free some space\.") as error:
            prepare(films, root, side=64, workers=count)
    assert error.value.exit_code == 1
    assert len(prepare(films, root, side=64, workers=1).fresh) == 2
