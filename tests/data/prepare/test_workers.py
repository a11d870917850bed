"""The processes that prepare clips."""

from __future__ import annotations

import sys

import pytest

from lipsmith.data.prepare.workers import processes


def test_windows_has_fewer_processes_than_a_large_machine_has_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with processes(64) as pool:
        assert pool._max_workers == 61  # type: ignore[attr-defined]
