"""Errors that lipsmith raises on purpose, each with its exit code, and words of their sentences."""

from __future__ import annotations

from collections.abc import Sequence


class LipsmithError(Exception):
    """Base of every error raised on purpose. The message is one sentence: what is wrong, where, and the remedy."""

    exit_code = 1


class UsageError(LipsmithError):
    """The request itself is invalid: a wrong option, or a result that would be overwritten."""

    exit_code = 2


class InputError(LipsmithError):
    """There is nothing to work on: an unreadable file, no face, no sound."""

    exit_code = 3


class WeightsError(LipsmithError):
    """A model is missing, or its file is not the published one."""

    exit_code = 4


class SomeFailedError(LipsmithError):
    """Some of many items failed and the others succeeded; `failures` holds (item, reason) pairs, or a summary of them
    for display."""

    exit_code = 1

    def __init__(self, failures: Sequence[tuple[str, str]], total: int) -> None:
        super().__init__(failures, total)  # pickle makes the error of these again, in another process
        self.failures, self._count, self._total = failures, len(failures), total

    def __str__(self) -> str:
        return f"{self._count} of {self._total} failed"


def counted(count: int, one: str, several: str = "") -> str:
    """A count and its noun, such as `1 clip` or `2 clips`; `several` is the plural of nouns without a regular one."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def missing_extra(what: str, extra: str, missing: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error of `what`, which cannot be imported because a module of an `extra` is `missing`."""
    return ModuleNotFoundError(
        f'{what} needs the {extra} extra: pip install ".[{extra}]" in the clone.', name=missing.name
    )


def blames_inputs(error: BaseException) -> bool:
    """Whether the request, its inputs or the model are at fault, and not a disk or drive that failed: then the same
    request may succeed later."""
    is_theirs = isinstance(error, InputError | UsageError | WeightsError)
    return is_theirs and not isinstance(error.__cause__, OSError)
