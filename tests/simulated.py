"""A simulated clock and a simulated full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """Limit files to `size` bytes; POSIX only. A longer one is an error that Lipsmith treats like a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class SimulatedClock:
    """A clock for live sessions that only advances in `sleep`."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """Current time in seconds."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.time += seconds
