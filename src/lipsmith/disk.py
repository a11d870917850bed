"""Folders of results, which appear whole, and what may go wrong where files are written: a second run in the same
folder, and a full disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lipsmith.errors import LipsmithError, UsageError
from lipsmith.files import DISK_FULL, HIDDEN, LOCKS, FileLock, hidden_beside, hold

if TYPE_CHECKING:
    from av import FFmpegError

_FOLDER: Final = ".folder"
"""Suffix of temporary folders."""


@contextmanager
def hidden_folder_beside(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder next to `folder`; it is removed at the end.

    First removes those of killed processes. As long as a folder is used, the locked temporary file exists whose name it
    extends.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hidden_beside(folder) as lock:
        for left in folder.parent.glob(f"{HIDDEN}*{_FOLDER}"):
            if not left.with_suffix("").exists():
                shutil.rmtree(left, ignore_errors=True)
        hidden = lock.with_name(lock.name + _FOLDER)
        hidden.mkdir()
        try:
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def write_whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`; its files move to `folder` at the end. Cleanup as in `write_whole`.

    Other files in `folder` are kept.
    """
    with hidden_folder_beside(folder) as hidden:
        yield hidden
        folder.mkdir(exist_ok=True)
        for path in hidden.iterdir():
            path.replace(folder / path.name)


@contextmanager
def folder_lock(folder: Path, doing: str) -> Iterator[None]:
    """Lock the folder against other runs; the system releases the lock if this process dies.

    Raises UsageError if another run holds the lock, which says what it is `doing` in the folder.
    """
    if not LOCKS:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not hold(descriptor):
            raise UsageError(f"Another run is {doing} in {folder}; wait for its end or choose another folder.")
        yield
    finally:
        os.close(descriptor)


def discard(folder: Path, first: str = "lock") -> None:
    """Remove a folder, the file `first` before all others, unless a process has locked the file `lock` in it."""
    with suppress(OSError), closing(FileLock(folder / "lock")) as lock:
        if lock.is_held:
            (folder / first).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Report a full disk and the like as the error of the result `out`."""
    try:
        yield
    except OSError as error:
        raise not_written(out, error) from error


def not_written(out: Path, error: OSError | FFmpegError) -> LipsmithError:
    """The error of the result `out` if writing failed."""
    reason = "the disk is full; free some space" if error.errno in DISK_FULL else error.strerror or error
    return LipsmithError(f"{out} was not written: {reason}.")
