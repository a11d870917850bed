import threading
import time
from collections.abc import Generator
from contextlib import closing

import pytest

from lipsmith.progress import prefetch, prefetch_map, prefetch_where_free


def counting(closed: list[bool], stop_at: int | None = None) -> Generator[int, None, None]:
    try:
        number = 0
        while number != stop_at:
            yield number
            number += 1
    finally:
        closed.append(True)


def test_items_keep_their_order_and_the_source_is_closed() -> None:
    closed: list[bool] = []
    assert list(prefetch(counting(closed, 20), 3)) == list(range(20))
    assert closed == [True]


def test_an_error_in_the_thread_is_raised_in_the_consumer() -> None:
    def failing() -> Generator[int, None, None]:
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

    def making() -> Generator[int, None, None]:
        for number in range(50):
            made.append(number)
            yield number

    items = prefetch(making(), 2)
    next(items)
    time.sleep(0.2)
    assert len(made) <= 4
    assert len(list(items)) == 49


def test_results_of_several_threads_keep_the_order_of_their_items() -> None:
    def slower_first(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return 10 * number

    closed: list[bool] = []
    assert list(prefetch_map(slower_first, counting(closed, 20), 3)) == list(range(0, 200, 10))
    assert closed == [True]


def test_all_workers_run_at_once() -> None:
    together = threading.Barrier(3, timeout=5)

    def meeting(number: int) -> int:
        together.wait()
        return number

    assert list(prefetch_map(meeting, counting([], 6), 3)) == list(range(6))


def test_at_most_workers_plus_one_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def taking() -> Generator[int, None, None]:
        for number in range(50):
            taken.append(number)
            yield number

    results = prefetch_map(abs, taking(), 2)
    next(results)
    assert len(taken) == 3
    next(results)
    assert len(taken) == 4
    assert len(list(results)) == 48


@pytest.mark.parametrize(("cores", "is_in_thread"), [(2, False), (3, True)])
def test_items_are_taken_ahead_where_a_core_is_left_for_it(cores: int, is_in_thread: bool) -> None:
    threads, closed = [], []

    def taking() -> Generator[int, None, None]:
        try:
            for number in range(50):
                threads.append(threading.get_ident())
                yield number
        finally:
            closed.append(True)

    with closing(prefetch_where_free(taking(), cores)) as items:
        assert [next(items), next(items)] == [0, 1]
    assert (threading.get_ident() not in threads) == is_in_thread
    assert closed == [True]


def test_an_error_of_one_item_is_raised_after_the_results_before_it() -> None:
    def failing(number: int) -> int:
        if number == 2:
            raise ValueError(f"item {number}")
        time.sleep(0.02)
        return number

    closed: list[bool] = []
    results = prefetch_map(failing, counting(closed), 3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="item 2"):
        next(results)
    assert closed == [True]


def test_an_error_of_the_source_is_raised_after_the_results_before_it() -> None:
    def broken() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise ValueError("torn film")

    results = prefetch_map(abs, broken(), 4)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="torn film"):
        next(results)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_ends_the_threads_and_closes_the_source(error: type[BaseException]) -> None:
    closed: list[bool] = []
    before, begun = threading.active_count(), []

    def drawing(number: int) -> int:
        begun.append(number)
        time.sleep(0.01)
        return number

    def stopping_at_the_fourth() -> None:
        with closing(prefetch_map(drawing, counting(closed), 2)) as results:
            for number in results:
                if number == 3:
                    raise error

    with pytest.raises(error):
        stopping_at_the_fourth()
    assert closed == [True]
    assert threading.active_count() == before
    assert len(begun) <= 7
