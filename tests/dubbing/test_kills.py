"""A killed command completes when it runs again; `tests/kills.py` tests many moments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kills import cases, complaint, reference


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="POSIX kills")
@pytest.mark.parametrize(("name", "shares"), [("dub", [0.35, 0.7]), ("batch", [0.6])])
def test_a_killed_command_completes_when_it_runs_again(tmp_path: Path, name: str, shares: list[float]) -> None:
    case = cases(tmp_path)[name]()
    expected, seconds = reference(case)
    assert complaint(case, expected, [share * seconds for share in shares]) is None
