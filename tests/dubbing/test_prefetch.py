import threading
import time
from collections.abc import Iterator

import pytest

from lipsmith.dubbing.prefetch import prefetch


def counting(closed: list[bool], stop_at: int | None = None) -> Iterator[int]:
    try:
        number = 0
        while number != stop_at:
            yield number
            number += 1
    finally:
        closed.append(True)


def test_items_come_in_order_and_the_source_is_closed() -> None:
    closed: list[bool] = []
    assert list(prefetch(counting(closed, 20), 3)) == list(range(20))
    assert closed == [True]


def test_an_error_in_the_thread_is_raised_where_the_items_are_used() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    items = prefetch(failing(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


def test_a_consumer_that_stops_ends_the_thread() -> None:
    closed: list[bool] = []
    before = threading.active_count()
    for number in prefetch(counting(closed), 2):
        if number == 3:
            break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert closed == [True]
    assert threading.active_count() == before


def test_no_more_than_depth_items_wait() -> None:
    made: list[int] = []

    def making() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    items = prefetch(making(), 2)
    next(items)
    time.sleep(0.2)
    assert len(made) <= 4
    assert len(list(items)) == 49
