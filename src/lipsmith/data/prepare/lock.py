"""Allows one run at a time per prepared folder: a second run would delete the partial files of the first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsmith.errors import UsageError
from lipsmith.files import hold


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
        if not hold(folder):
            raise UsageError(f"Another run is preparing clips in {root}; wait for its end or choose another folder.")
        yield
    finally:
        os.close(folder)
