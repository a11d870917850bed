"""What may go wrong where files are written: a second run in the same folder, and a full disk."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lipsmith.errors import LipsmithError, UsageError
from lipsmith.files import hold

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""System errors of a disk without room."""


@contextmanager
def folder_lock(folder: Path, doing: str) -> Iterator[None]:
    """Lock the folder against other runs; the system releases the lock if this process dies.

    Raises UsageError if another run holds the lock, which says what it is `doing` in the folder.
    """
    if sys.platform == "win32":  # cannot lock a folder
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not hold(descriptor):
            raise UsageError(f"Another run is {doing} in {folder}; wait for its end or choose another folder.")
        yield
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Report a full disk and the like as the error of the result `out`."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full; free some space" if error.errno in DISK_FULL else error.strerror or error
        raise LipsmithError(f"{out} was not written: {reason}.") from error
