"""How the library says how far it is: it calls back and never prints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[int, int], None]
"""Called with what is done and the total, both in the same unit; the total is 0 while nobody can tell."""

ProgressOf = Callable[[str], AbstractContextManager[Progress | None]]
"""Opens the progress of one step by the step's title; the `with` ends when the step does."""


def unwatched(title: str) -> AbstractContextManager[None]:
    """The `ProgressOf` of a caller who does not want to know."""
    return nullcontext()
