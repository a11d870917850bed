"""Replaces the preparation of a clip in a worker process with clips that crash it or never end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from lipsmith.data.prepare.clip import NO_FACE, Outcome
from lipsmith.data.prepare.layouts import Job


def run(task: tuple[Job, Path, int]) -> Outcome:
    """Replace `lipsmith.data.prepare.workers._run`; `deadly_once` crashes only the first time."""
    job, root, _ = task
    mark = root / job.name
    if job.name == "endless":
        time.sleep(600)
    if job.name == "deadly" or (job.name == "deadly_once" and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(str(job.source), reason=NO_FACE)
