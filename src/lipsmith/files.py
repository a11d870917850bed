"""Files: results are written atomically and replace nothing by accident; weights are checked by SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import sys
import time
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from lipsmith.errors import InputError, UsageError, WeightsError

LOCKS: Final = find_spec("fcntl") is not None
"""Whether this system can lock files that anyone may remove; Windows cannot, nor remove or rename open files."""
HIDDEN: Final = ".lipsmith-"
"""Prefix of temporary names; short, so that a result's name may have the maximum length."""
_DIGITS: Final = 12
STALE: Final = 7 * 86_400.0
"""Seconds after which nobody continues what an interrupted command left."""
_IS_HIDDEN: Final = re.compile(re.escape(HIDDEN) + r"[0-9a-f]{12}(\.\w+)?")
_ADDRESS: Final = re.compile(r"(?:^|(?<=/))[A-Za-z][A-Za-z0-9+.-]+:(?=/)")
_READ_BY: Final = frozenset(
    {"manifest.jsonl", "left_out.jsonl", "config.json", "training.json", "landmarks.json", "renderer.json", "sync.json"}
)
"""Index files of folders of clips, models and training runs: replacing one makes its folder unreadable."""
DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""System errors of a disk without room."""
_NAMELESS: Final = DISK_FULL | {errno.EIO, errno.EROFS}
"""System errors of a write, which do not name its file."""
DAMAGED: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What numpy raises for an .npz file that is missing, incomplete or damaged."""


def refuse_outputs(
    files: Sequence[Path | None],
    overwrite: bool,
    *,
    inputs: Collection[Path | str | None],
    folder: Path | None = None,
) -> None:
    """Raise UsageError, before any work, for results that cannot be written where they were requested.

    The `files` and the `folder` of results must differ from each other and from the `inputs`. None means that a result
    was not requested.
    """
    refuse_clashes([*files, folder], inputs)
    for path in filter(None, files):
        refuse_existing(path, overwrite)
    if folder:
        refuse_filled(folder, overwrite)


def require(*paths: Path) -> None:
    """Raise InputError for a path that does not exist."""
    for path in paths:
        try:
            found = path.exists()
        except OSError as error:  # such as a name that is too long
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from error
        if not found:
            url = f"{_url(path)} is a URL, but lipsmith reads only files; download it and give its path."
            raise InputError(url if _url(path) else f"{path} does not exist; check the path.")


def _url(path: Path) -> str | None:
    """The URL that became this path, which merges slashes; None for other paths."""
    address = _ADDRESS.search(str(path))
    return address and f"{address[0]}//{'/' * (address[0] == 'file:')}{str(path)[address.end() :].lstrip('/')}"


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise UsageError, before any work, for a result that cannot be written to `path`."""
    try:
        exists = path.exists() or path.is_symlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose a shorter name.") from error
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file.")
    if exists and not overwrite:
        raise UsageError(f"{path} exists; choose another name or set overwrite.")
    if not path.parent.is_dir():
        url = f"{_url(path)} is a URL, but lipsmith writes only files; give a path."
        raise UsageError(url if _url(path) else f"The folder {path.parent} does not exist; create it first.")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"The folder {path.parent} cannot be written to; choose another.")


def refuse_filled(folder: Path, overwrite: bool) -> None:
    """Raise UsageError, before any work, for a folder of results that is a file or is not empty."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UsageError(f"{folder} is not empty; choose another folder or set overwrite.")


def real(path: Path | str) -> Path:
    """The absolute path without links; unlike `Path.resolve` of Python 3.11, it accepts links that form a loop."""
    return Path(os.path.realpath(path))


def refuse_clashes(results: Iterable[Path | None], inputs: Iterable[Path | str | None]) -> None:
    """Raise UsageError if a result would replace another result or one of the `inputs`.

    A folder among the inputs includes the index files of folders of clips, models and training runs.
    """
    given = {_file(real(path)) for path in inputs if path is not None}
    taken: set[object] = set()
    for path in filter(None, results):
        target = real(path)
        if not given.isdisjoint(map(_file, _inputs_lost_with(target))):
            raise UsageError(f"{path} would be replaced by its own result; choose another name.")
        if _file(target) in taken:
            raise UsageError(f"{path} would be written more than once; give each result its own name.")
        taken.add(_file(target))


def _file(path: Path) -> object:
    """A value that two names of one file share, such as Film.mp4 and film.mp4 where the file system ignores case."""
    with suppress(OSError):
        found, folder = path.stat(), path.parent.stat()
        return found.st_dev, found.st_ino, folder.st_ino, path.name.casefold()
    return path


def _inputs_lost_with(target: Path) -> tuple[Path, ...]:
    """The inputs that are lost if `target` is replaced."""
    return (target, target.parent) if target.name in _READ_BY else (target,)


@contextmanager
def hidden_beside(path: Path) -> Iterator[Path]:
    """Yield an empty temporary file next to `path`, with its suffix; the file is removed at the end.

    First removes temporary files of killed processes in the folder. Raises OSError if the file cannot be created.
    """
    remove_stale(path.parent)
    beside, lock = _locked_beside(path)
    try:
        yield beside
    except OSError as error:
        if error.errno in _NAMELESS:
            error.filename = error.filename or str(path)
        raise
    finally:
        lock.close()
        beside.unlink(missing_ok=True)


def _locked_beside(path: Path) -> tuple[Path, FileLock]:
    while True:
        beside = path.with_name(f"{HIDDEN}{secrets.token_hex(_DIGITS // 2)}{path.suffix.lower()}")
        lock = FileLock(beside, os.O_CREAT | os.O_EXCL)
        # Who removes stale files may find it before it is locked.
        if lock.is_held and beside.exists():
            return beside, lock
        lock.close()


def hidden_for(path: Path, suffix: str) -> Path:
    """The hidden path next to `path` that belongs to its name; it is the same in every run."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:_DIGITS]
    return path.with_name(f"{HIDDEN}{digest}{suffix}")


def put(beside: Path, path: Path, overwrite: bool) -> None:
    """Rename the finished temporary file `beside` to `path`.

    The file is on the disk before it has that name, so a power cut leaves the complete file or none.
    Raises UsageError if another process created `path` in the meantime and `overwrite` is false.
    """
    _sync(beside, os.O_RDWR)  # Windows syncs no file that is open for reading only
    _rename(beside, path, overwrite)
    with suppress(OSError):  # not every system lets folders be opened
        _sync(path.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(beside: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        beside.replace(path)
        return
    try:
        try:
            os.link(beside, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: reserve the name atomically, then replace it
            path.touch(exist_ok=False)
            beside.replace(path)
    except FileExistsError as error:
        raise UsageError(f"Another run wrote {path} meanwhile; choose another name or set overwrite.") from error


@contextmanager
def write_whole(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it is renamed to `path` at the end, or removed on an error or
    interruption. The suffix is kept for writers that depend on it. See `put` for `overwrite`.
    """
    with hidden_beside(path) as beside:
        yield beside
        put(beside, path, overwrite)


def remove_stale(folder: Path) -> None:
    """Remove temporary files of killed processes: those that nobody has locked, or old ones without locks."""
    for path in (found for found in folder.glob(f"{HIDDEN}*") if _IS_HIDDEN.fullmatch(found.name)):
        with suppress(OSError), closing(FileLock(path, 0, without=time.time() - path.stat().st_mtime > STALE)) as lock:
            if lock.is_held:
                path.unlink()


def state_of(path: Path) -> list[str | int]:
    """Path, size and time of a file, as JSON values that change with it."""
    found = path.stat()
    return [os.fsencode(real(path)).hex(), found.st_size, found.st_mtime_ns]


class FileLock:
    """Holds the file `path` against other processes until it is closed or this process ends."""

    def __init__(self, path: Path, flags: int = os.O_CREAT, shared: bool = False, without: bool = True) -> None:
        """`shared`, `without`: as in `hold`. Raises OSError if the file cannot be opened with `flags`."""
        self._descriptor: int | None = os.open(path, flags | os.O_RDWR, 0o666)
        self.is_held = hold(self._descriptor, shared, without)
        if not LOCKS:
            self.close()

    def close(self) -> None:
        """Let others hold the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def hold(descriptor: int, shared: bool = False, without: bool = True) -> bool:
    """Lock an open file until it is closed or this process ends; return False if another process has locked it.

    `shared`: together with others who share it. `without`: what to return where files cannot be locked, as without
    `LOCKS` and on some network file systems.
    """
    if not LOCKS:
        return without
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return without and not isinstance(error, BlockingIOError)
    return True


def home() -> Path:
    """Folder of the user's models and third-party weights: $LIPSMITH_HOME, or the platform's cache."""
    if named := os.environ.get("LIPSMITH_HOME"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lipsmith"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "lipsmith" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipsmith"


def check_file(path: Path, sha256: str) -> None:
    """Raise WeightsError unless `path` is a file whose SHA-256 begins with `sha256`."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing; install the model again.")
    found = sha256_of(path)
    if not found.startswith(sha256):
        begins = f"its SHA-256 begins with {found[:8]}, not with {sha256[:8]}"
        raise WeightsError(f"{path} is not the published file; download it again ({begins}).")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, cached until the file changes."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
