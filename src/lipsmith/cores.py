"""How many cores of the machine are this process's own."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """At least 1. Schedulers of clusters and containers lend a process some of the machine's cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
