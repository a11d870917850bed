"""Training runs that are interrupted."""

from __future__ import annotations

from typing import Any

import pytest

from lipsmith.training.loop import Settings, fit
from lipsmith.training.task import Task


def interrupted(task: Task[Any], settings: Settings) -> None:
    """Train the first three quarters of the steps."""

    def stop(done: int, total: int) -> None:
        if done >= total * 3 // 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(task, settings, stop)
