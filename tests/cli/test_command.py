"""The command as a process of its own."""

from __future__ import annotations

import subprocess
import sys

INTERRUPTED_TWICE = """
import os, signal, sys, threading, time
from lipsmith import cli
cli.main = lambda: cli.INTERRUPTED
threading.Thread(target=time.sleep, args=(60,)).start()
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
sys.exit(cli.command())
"""


def test_interrupted_once_more_the_command_ends_at_once() -> None:
    """The interpreter waits for threads, such as those that draw."""
    given = [sys.executable, "-c", INTERRUPTED_TWICE]
    done = subprocess.run(given, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (130, "")
