"""Errors cross processes, as in a pool."""

import pickle

from lipsmith.errors import SomeFailedError


def test_an_error_about_several_items_is_whole_after_pickling() -> None:
    error = pickle.loads(pickle.dumps(SomeFailedError([("film.mp4", "no face")], 3)))
    assert str(error) == "1 of 3 failed"
    assert error.failures == [("film.mp4", "no face")]
