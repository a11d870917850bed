"""Reports of a run: lines, rows and speed."""

from __future__ import annotations

import errno
import json
import logging
import threading
from pathlib import Path

import pytest
import torch

from lipsmith.errors import LipsmithError
from lipsmith.training.log import Log, Meter


def test_the_meter_reports_samples_per_second_and_the_share_of_data(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 2.0, 4.0, 4.0, 9.0, 9.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    meter = Meter(torch.device("cpu"))
    with meter.data():
        pass
    meter.add(8)
    assert meter.read() == pytest.approx({"samples_per_second": 2.0, "data_share": 0.25})
    assert meter.read() == pytest.approx({"samples_per_second": 0.0, "data_share": 0.0})


def test_a_resumed_run_drops_rows_after_its_checkpoint(tmp_path: Path) -> None:
    first = Log(tmp_path, 0)
    for step in (10, 20, 30):
        first.add("train", {"l1": step / 100}, step, step / 60)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 1')
    second = Log(tmp_path, 20)
    second.add("val", {"score": 0.123456789}, 30, 0.5)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    assert rows[1]["train/l1"] == 0.2
    assert rows[2] == {"step": 30, "minutes": 0.5, "val/score": 0.123457}


def test_what_is_not_a_number_is_null_in_the_log(tmp_path: Path) -> None:
    """JSON knows neither NaN nor Infinity, and most readers refuse them."""
    log = Log(tmp_path, 0)
    log.add("train", {"l1": torch.nan, "gan": torch.inf}, 1, 0.1)
    log.close()
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1, "minutes": 0.1, "train/l1": null, "train/gan": null}\n'


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path, 0)

    def full(*given: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(LipsmithError, match=r"log\.jsonl was not written: the disk is full; free some space"):
        log.add("train", {"l1": 1.0}, 1, 0.1)
    log.close()


def test_a_closed_log_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    log = Log(tmp_path, 0)
    log.add("train", {"l1": 1.0}, 1, 0.1)
    log.close()
    assert threading.active_count() == before


def test_only_the_first_process_reports(caplog: pytest.LogCaptureFixture) -> None:
    silent = Log(None, 0)
    with caplog.at_level(logging.INFO, "lipsmith"):
        silent.say("a line")
        silent.add("train", {"l1": 1.0}, 1, 0.1)
        silent.picture("val", torch.zeros(3, 2, 2), 1)
    assert caplog.messages == []
