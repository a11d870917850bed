"""Bounds that the operating system holds a worker to, whatever a file makes its decoder do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CPU_BASE: Final = 120
_CPU_PER_SECOND: Final = 90
"""Seconds of processor time that a second of media may cost: a dub of one face at 640x480 takes 1.5."""


def limit_memory(size: int) -> None:
    """Let this process hold `size` bytes of its own at most; no core files. Nothing on systems without such limits."""
    if sys.platform == "win32":
        return
    import resource

    # Data, not address space: a GPU's driver reserves far more addresses than it ever fills.
    limit = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY or hard > size:
        resource.setrlimit(limit, (size, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def limited_time(media_seconds: float) -> Iterator[None]:
    """End this process, by SIGXCPU, where the work inside the `with` uses far more time than such media need.

    Inside another such `with` the outer one's clock stands still.
    """
    if sys.platform == "win32":
        yield
        return
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_CPU)
    began = _used()
    allowed = int(began + _CPU_BASE + _CPU_PER_SECOND * media_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (_at_most(allowed, hard), hard))
    try:
        yield
    finally:
        outer = before if before == resource.RLIM_INFINITY else int(before + _used() - began + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (_at_most(outer, hard), hard))


def _at_most(wanted: int, hard: int) -> int:
    import resource

    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _used() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
