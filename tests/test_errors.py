"""Errors cross processes, as in a pool."""

import pickle

import pytest

from lipsmith.errors import InputError, LipsmithError, SomeFailedError, WeightsError, blames_inputs, counted


@pytest.mark.parametrize(("count", "text"), [(0, "0 clips"), (1, "1 clip"), (2, "2 clips")])
def test_a_count_has_the_number_of_its_noun(count: int, text: str) -> None:
    assert counted(count, "clip") == text
    assert counted(count, "person", "people") == f"{count} {'person' if count == 1 else 'people'}"


def test_an_error_about_several_items_is_whole_after_pickling() -> None:
    error = pickle.loads(pickle.dumps(SomeFailedError([("film.mp4", "no face")], 3)))
    assert str(error) == "1 of 3 failed"
    assert error.failures == [("film.mp4", "no face")]


def test_a_summary_of_failures_does_not_change_their_number() -> None:
    error = SomeFailedError([(f"{number}.mp4", "no face") for number in range(30)], 40)
    error.failures = [("30 sources", "no face")]
    assert str(error) == "30 of 40 failed"


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        (InputError("no face"), None, True),
        (WeightsError("another size"), ValueError(), True),
        (InputError("cannot be read"), FileNotFoundError(), False),
        (LipsmithError("the disk is full"), None, False),
        (KeyboardInterrupt(), None, False),
    ],
)
def test_a_disk_that_fails_is_not_the_fault_of_the_inputs(
    error: BaseException, cause: BaseException | None, expected: bool
) -> None:
    error.__cause__ = cause
    assert blames_inputs(error) is expected
