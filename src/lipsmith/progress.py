"""Progress callbacks, and prefetching in threads. The library never prints."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Final, TypeVar

Progress = Callable[[int, int], None]
"""Called with the number done and the total, in the same unit; the total is 0 while it is unknown."""

ProgressOf = Callable[[str], AbstractContextManager[Progress | None]]
"""Opens the progress of one step, given the step's title, as a context manager, which ends with the step."""
S = TypeVar("S")
T = TypeVar("T")
AHEAD: Final = 4
"""Frames decoded or rendered ahead of their use."""
_POLL_SECONDS: Final = 0.05
_FILLED: Final = 2
"""Cores that the networks fill."""


def unwatched(title: str) -> AbstractContextManager[None]:
    """The `ProgressOf` of a caller that ignores progress."""
    return nullcontext()


@dataclass(frozen=True)
class _Ended:
    """The end of the queue, with the error that stopped the work, if any."""

    error: BaseException | None = None


def prefetch(items: Iterator[T], depth: int = AHEAD) -> Generator[T, None, None]:
    """The same items, with up to `depth` of them computed in advance in a thread.

    Errors of the thread are raised here. When the consumer stops early, for example on Ctrl-C, the thread finishes its
    current item and ends, and `items` is closed.
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


def prefetch_where_free(items: Generator[T, None, None], cores: int) -> Generator[T, None, None]:
    """The same items: by `prefetch`, but without a thread of their own where other threads fill all `cores`.

    There, threads take the interpreter from each other more often than they help: a dub at 640x480 on two cores took a
    twelfth more time.
    """
    return prefetch(items) if cores > _FILLED else items


def prefetch_map(function: Callable[[S], T], items: Generator[S, None, None], workers: int) -> Generator[T, None, None]:
    """`function` of each item, in order, computed by `workers` threads.

    At most `workers` + 1 items are taken ahead of the current result, so that no thread waits while the consumer is at
    work. An error in an item, or in taking it, is raised at its position, after the results before it. When the
    consumer stops early, each thread finishes its current call and ends, and `items` is closed.
    """
    pool = ThreadPoolExecutor(workers, "lipsmith")
    with closing(items):
        try:
            yield from _in_order(pool, function, items, workers + 1)
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[S], T], items: Iterator[S], most: int
) -> Generator[T, None, None]:
    begun: deque[Future[T]] = deque()
    more = True
    while more or begun:
        while more and len(begun) < most:
            try:
                begun.append(pool.submit(function, next(items)))
            except StopIteration:
                more = False
            except Exception as error:
                begun.append(_failed(error))
                more = False
        if begun:
            yield begun.popleft().result()


def _failed(error: Exception) -> Future[T]:
    future: Future[T] = Future()
    future.set_exception(error)
    return future


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
    """Put `item` into the queue; False if the consumer stopped first."""
    while not stop.is_set():
        with suppress(Full):
            queue.put(item, timeout=_POLL_SECONDS)
            return True
    return False


def _next(queue: Queue[T | _Ended]) -> T | _Ended:
    # A wait without a timeout would block Ctrl-C on some systems.
    while True:
        with suppress(Empty):
            return queue.get(timeout=1.0)
