"""Damaged media give a result or a documented exit code: ten here, ninety more in `.ci/run`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of processes are POSIX")
def test_damaged_inputs_end_with_a_documented_exit_code() -> None:
    words = [sys.executable, str(FUZZ), "--times", "10", "--seed", "0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
