"""Locks the data folder, and removes leftover and expired files."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Final

from lipsmith.errors import UsageError, counted
from lipsmith.files import HIDDEN, hold
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Store

_LOG = logging.getLogger(__name__)

_FOLDERS: Final = ("uploads", "jobs", "clips", "tmp")
_HARMLESS: Final = frozenset({*_FOLDERS, "lock", "lost+found"})
"""Left by a start that was killed, and that of a file system whose root is the data folder."""


@contextmanager
def data_folder(settings: Settings) -> Iterator[None]:
    """Create the data folder, private to this user, and lock it.

    Raises `UsageError` if another service uses it, or if it holds files of others, which would be removed or mixed with
    those of the service.
    """
    if not settings.database.exists():
        _refuse_others(settings.data)
    try:
        for name in ("", *_FOLDERS):
            (settings.data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        # The folder may have existed, and the database holds the cookies of clients. SQLite copies the permissions.
        settings.database.touch(mode=0o600)
        settings.database.chmod(0o600)
        lock = (settings.data / "lock").open("w")
    except OSError as error:
        raise UsageError(f"{settings.data} is not writable ({error.strerror}); choose another --data.") from error
    with lock:
        if not hold(lock.fileno()):
            raise UsageError(f"{settings.data} is in use by another service; stop it or choose another --data.")
        yield


def _refuse_others(data: Path) -> None:
    if data.exists() and not data.is_dir():
        raise UsageError(f"{data} is a file; give a folder to --data.")
    in_data = (path for path in data.glob("[!.]*") if path.name not in _HARMLESS)
    in_folders = (path for name in _FOLDERS for path in (data / name).glob("*"))
    if other := next(chain(in_data, in_folders), None):
        raise UsageError(f"{other.parent} holds files that no service wrote; choose another --data.")


def remove_leftovers(settings: Settings, store: Store) -> None:
    """Remove files of an earlier run: partial uploads and clips, temporary files, and files that the store does not
    list."""
    uploads, jobs = store.ids()
    for path in (settings.data / "uploads").iterdir():
        if path.name not in uploads:
            _remove(path)
    for path in (settings.data / "jobs").iterdir():
        if path.name not in jobs:
            _remove(path)
        for partial in path.glob(f"{HIDDEN}*"):
            partial.unlink()
    for path in (settings.data / "clips").iterdir():
        remove_partial_clips(path)
    for path in (settings.data / "tmp").iterdir():
        _remove(path)


def remove_partial_clips(folder: Path) -> None:
    """Remove the clips of an upload that killed sessions have not stored completely."""
    for path in folder.glob(f"{HIDDEN}*"):
        shutil.rmtree(path, ignore_errors=True)


def expire(settings: Settings, store: Store, now: float) -> None:
    """Remove uploads and clips that were not used, and jobs that ended, `settings.keep` seconds before `now`."""
    before = now - settings.keep
    uploads, jobs = store.expired(before)
    try:
        store.delete(uploads, jobs)  # first, so that no client is promised a file that is gone
    finally:  # even if that fails, because a database on a full disk needs the space of the files
        _remove_files(settings, store, uploads, jobs)
        _remove_clips(settings, before)
    if uploads or jobs:
        _LOG.info("%s and %s expired", counted(len(uploads), "upload"), counted(len(jobs), "job"))


def _remove_files(settings: Settings, store: Store, uploads: Sequence[str], jobs: Sequence[str]) -> None:
    for name in uploads:
        with suppress(PermissionError):  # Windows removes no file that is being sent; the next start does
            settings.upload(name).unlink(missing_ok=True)
    for name in jobs:
        shutil.rmtree(settings.job(name), ignore_errors=True)
    folders = [*(settings.data / "jobs").iterdir()]  # before the jobs: a job is stored before it has a folder
    _, known = store.ids()
    for folder in folders:
        if folder.name not in known:  # Windows removes no film that is being sent when its job is deleted
            shutil.rmtree(folder, ignore_errors=True)


def _remove_clips(settings: Settings, before: float) -> None:
    for path in (settings.data / "clips").glob("*/*"):
        with suppress(OSError):  # live sessions create and rename folders meanwhile
            if path.stat().st_mtime < before:
                _remove(path)
    for folder in (settings.data / "clips").iterdir():
        with suppress(OSError):  # not empty
            folder.rmdir()


def _remove(path: Path) -> None:
    """Remove a folder or a file, such as those that systems add to any folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


async def expire_periodically(settings: Settings, store: Store) -> None:
    """Call `expire` forever."""
    while True:
        try:
            await asyncio.to_thread(expire, settings, store, time.time())
        except Exception:
            _LOG.exception("expired files were not removed; trying again later")
        await asyncio.sleep(settings.expiry_interval)
