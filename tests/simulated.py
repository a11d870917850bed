"""A simulated clock."""

from __future__ import annotations


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
