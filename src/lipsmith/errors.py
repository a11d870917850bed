"""What can go wrong, and the exit code that says so at a shell."""

from __future__ import annotations

from collections.abc import Sequence


class LipsmithError(Exception):
    """Base of every error raised on purpose. The message is one sentence: what, where, and the remedy."""

    exit_code = 1


class UsageError(LipsmithError):
    """The request itself cannot be carried out: a wrong option, or a result that would be overwritten."""

    exit_code = 2


class InputError(LipsmithError):
    """There is nothing to work on: an unreadable file, no face, no speech."""

    exit_code = 3


class WeightsError(LipsmithError):
    """A model is missing, or its file is not the one that was published."""

    exit_code = 4


class SomeFailedError(LipsmithError):
    """Some items of many could not be done, while the others were; `failures` holds (item, why) pairs."""

    exit_code = 1

    def __init__(self, failures: Sequence[tuple[str, str]], total: int) -> None:
        super().__init__(f"{len(failures)} of {total} failed")
        self.failures = failures
