"""Allows one run at a time per prepared folder: a second run would delete the partial files of the first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsmith.errors import UsageError


@contextmanager
def folder_lock(root: Path) -> Iterator[None]:
    """Lock the folder `root` against other runs; the system releases the lock if this process dies.

    Raises UsageError if another run holds the lock.
    """
    if sys.platform == "win32":  # cannot lock a folder
        yield
        return
    folder = os.open(root, os.O_RDONLY)
    try:
        _lock(folder, root)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, root: Path) -> None:
    import fcntl

    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"another run is preparing clips in {root}; wait for its end or choose another folder"
        ) from None
    except OSError:
        return  # some network folders have no locks
