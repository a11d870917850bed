"""Replaces the preparation of a clip in a worker process with clips that crash it, never end, or fill the disk."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from unittest import mock

from lipsmith.data.prepare import workers
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


_RUN = workers._run


def run_on_a_full_disk(task: tuple[Job, Path, int]) -> Outcome:
    """Replace `lipsmith.data.prepare.workers._run`."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("lipsmith.data.prepare.clip.prepare_clip", side_effect=full):
        return _RUN(task)
