"""Work done ahead in another thread: decoding, drawing and encoding wait for different parts of the machine."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Final, TypeVar

T = TypeVar("T")

AHEAD: Final = 4
"""Frames that are decoded or drawn before they are needed."""

_GLANCE: Final = 0.05


@dataclass(frozen=True)
class _Ended:
    """The last thing in the queue, with the error that ended the work, if any."""

    error: BaseException | None = None


def prefetch(items: Iterator[T], depth: int = AHEAD) -> Generator[T, None, None]:
    """The same items, of which up to `depth` are made in advance in a thread.

    An error there is raised here. When the consumer stops early, on Ctrl-C for one, the thread ends after the item
    it is at, and `items` is closed.
    """
    queue: Queue[T | _Ended] = Queue(depth)
    stop = Event()
    worker = Thread(target=_fill, args=(items, queue, stop), daemon=True)
    worker.start()
    try:
        while not isinstance(item := _next(queue), _Ended):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        worker.join()


def _fill(items: Iterator[T], queue: Queue[T | _Ended], stop: Event) -> None:
    ended = _Ended()
    try:
        for item in items:
            if not _put(queue, item, stop):
                break
    except BaseException as error:
        ended = _Ended(error)
    finally:
        if hasattr(items, "close"):
            items.close()
        _put(queue, ended, stop)


def _put(queue: Queue[T | _Ended], item: T | _Ended, stop: Event) -> bool:
    """Whether there was room before the consumer stopped."""
    while not stop.is_set():
        with suppress(Full):
            queue.put(item, timeout=_GLANCE)
            return True
    return False


def _next(queue: Queue[T | _Ended]) -> T | _Ended:
    # A wait without a time limit would hold off Ctrl-C on some systems.
    while True:
        with suppress(Empty):
            return queue.get(timeout=1.0)
