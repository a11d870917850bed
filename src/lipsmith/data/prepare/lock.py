"""One run at a time in a prepared folder.

A second would clear away what the first is writing, and write the manifest anew under its hands.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsmith.errors import UsageError


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Keep other runs out of the folder `root`; the system lets them in again if this process dies.

    Raises UsageError where another run is at work there.
    """
    if sys.platform == "win32":  # knows no lock on a folder
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
        raise UsageError(f"another run prepares clips in {root}; wait for its end or name another folder") from None
    except OSError:
        return  # some network folders have no locks
