"""Lets an interruption wait for the end of a training step, after which a checkpoint continues exactly."""

from __future__ import annotations

import logging
import signal
from threading import current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any, Final, Self

_LOG = logging.getLogger(__name__)

_NUMBERS: Final = [number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP")]


class Interruption:
    """A context manager: the first Ctrl-C, SIGTERM or closing of the terminal sets `asked`, the next one of the first
    two interrupts at once.

    Outside the main thread, which alone gets signals, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if current_thread() is main_thread():
            for number in _NUMBERS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and signal.Signals(number).name == "SIGHUP":
            return  # shell and kernel both send it
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        _LOG.info("stopping after this step; interrupt once more to stop at once and lose it")
