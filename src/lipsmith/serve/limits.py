"""Memory and CPU limits of a worker, enforced by the operating system even inside a decoder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CPU_BASE: Final = 120
_CPU_PER_SECOND: Final = 90
"""CPU seconds allowed per second of media; a dub of one face at 640x480 takes 1 to 3."""


def limit_memory(size: int) -> None:
    """Limit the memory of this process to `size` bytes and disable core dumps. Windows does neither, and macOS refuses
    limits of memory."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    # Data, not address space: a GPU driver reserves far more addresses than it uses.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > size:
        resource.setrlimit(resource.RLIMIT_DATA, (size, hard))


@contextmanager
def limit_cpu_time(media_seconds: float) -> Iterator[None]:
    """Terminate the process with SIGXCPU if the block uses far more CPU time than media of this length need.

    Blocks nest: time in an inner block does not count in the outer one. Does nothing on Windows.
    """
    if sys.platform == "win32":
        yield
        return
    import resource

    previous, hard = resource.getrlimit(resource.RLIMIT_CPU)
    started = _cpu_seconds()
    allowed = int(started + _CPU_BASE + _CPU_PER_SECOND * media_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (_capped(allowed, hard), hard))
    try:
        yield
    finally:
        restored = previous if previous == resource.RLIM_INFINITY else int(previous + _cpu_seconds() - started + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (_capped(restored, hard), hard))


def _capped(wanted: int, hard: int) -> int:
    import resource

    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _cpu_seconds() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
