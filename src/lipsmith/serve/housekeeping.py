"""Files that nobody needs any more are removed, and one service has its data folder for itself."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lipsmith.errors import UsageError
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Store

_LOG = logging.getLogger(__name__)

_FOLDERS: Final = ("uploads", "jobs", "clips", "tmp")


@contextmanager
def data_folder(settings: Settings) -> Iterator[None]:
    """Make the data folder, for its owner's eyes only, and hold it. Raises `UsageError` where another service does."""
    try:
        for name in ("", *_FOLDERS):
            (settings.data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (settings.data / "lock").open("w")
    except OSError as error:
        raise UsageError(f"{settings.data} cannot be written to ({error.strerror}); choose another --data.") from error
    with lock:
        _hold(lock.fileno(), settings)
        yield


def _hold(lock: int, settings: Settings) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no such locks; two services there are the user's own doing
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UsageError(f"{settings.data} is another service's; stop that one or choose another --data.") from error


def tidy(settings: Settings, store: Store) -> None:
    """Remove what an ended service left behind: half uploads, temporary files, and files of which nothing is known."""
    uploads, jobs = store.known()
    for path in (settings.data / "uploads").iterdir():
        if path.name not in uploads:
            path.unlink()
    for path in (settings.data / "jobs").iterdir():
        if path.name not in jobs:
            shutil.rmtree(path)
        for half in path.glob(".lipsmith-*"):
            half.unlink()
    for path in (settings.data / "tmp").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def expire(settings: Settings, store: Store, now: float) -> None:
    """Remove uploads and jobs that nobody has used for as long as they are kept."""
    uploads, jobs = store.expired(now - settings.keep)
    store.forget(uploads, jobs)
    for name in uploads:
        settings.upload(name).unlink(missing_ok=True)
    for name in jobs:
        shutil.rmtree(settings.job(name), ignore_errors=True)
    for clip in (settings.data / "clips").iterdir():
        if clip.stat().st_mtime < now - settings.keep:
            shutil.rmtree(clip, ignore_errors=True)
    if uploads or jobs:
        _LOG.info("%d uploads and %d jobs have expired", len(uploads), len(jobs))


async def keep_tidy(settings: Settings, store: Store) -> None:
    """Expire for ever, often enough that nothing stays a tenth longer than it should."""
    while True:
        await asyncio.to_thread(expire, settings, store, time.time())
        await asyncio.sleep(min(60.0, settings.keep / 10))
