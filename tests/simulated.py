"""Time that passes only where somebody waits for it."""

from __future__ import annotations


class Simulated:
    """A clock for live sessions that stands still except while somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """Seconds."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.time += seconds
