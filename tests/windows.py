"""Makes files behave as on Windows, as far as Linux can: `pytest -p windows`, with this folder on PYTHONPATH.

Windows neither renames, replaces nor removes a file that is open or mapped, nor a folder with such a file; it replaces
no folder, opens none, syncs no file that is open for reading only, and has no `flock`. Only files of this process are
watched.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

Name = str | bytes | os.PathLike[Any]
_REPLACE, _UNLINK, _FSYNC, _OPEN = os.replace, os.unlink, os.fsync, os.open


def _refuse_open(path: Name) -> None:
    """Raise PermissionError if a file, or one in that folder, is open or mapped."""
    name = Path(os.fsdecode(path))
    place = str(Path(os.path.realpath(name.absolute().parent), name.name))
    if any(opened == place or opened.startswith(place + os.sep) for opened in _opened()):
        raise PermissionError(errno.EACCES, "The file is open", os.fsdecode(path))


def _opened() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # of the list itself
            yield str(descriptor.readlink())
    # As strings, because thousands of mappings are read for each of thousands of files in pytest's old folders.
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        yield from line.split(maxsplit=5)[5:]


def _replace(source: Name, target: Name) -> None:
    _refuse_open(source)
    if os.path.lexists(target):
        _refuse_open(target)
        if Path(os.fsdecode(target)).is_dir():
            raise PermissionError(errno.EACCES, "The folder exists", os.fsdecode(target))
    _REPLACE(source, target)


def _rename(source: Name, target: Name) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "The file exists", os.fsdecode(target))
    _replace(source, target)


def _unlink(path: Name, *, dir_fd: int | None = None) -> None:
    assert dir_fd is None
    _refuse_open(path)
    _UNLINK(path)


def _fsync(file: Any) -> None:  # noqa: ANN401 - a descriptor or a file
    descriptor = file if isinstance(file, int) else file.fileno()
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "The file is open for reading only")
    _FSYNC(descriptor)


def _open(path: Name, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if Path(os.fsdecode(path)).is_dir():
        raise PermissionError(errno.EACCES, "A folder cannot be opened", os.fsdecode(path))
    return _OPEN(path, flags, mode, dir_fd=dir_fd)


def install() -> None:
    """Make files behave so in this process, from now on."""
    changes = {"replace": _replace, "rename": _rename, "unlink": _unlink, "remove": _unlink}
    for name, function in (changes | {"fsync": _fsync, "open": _open}).items():
        setattr(os, name, function)
    for name in ("sched_getaffinity", "mkfifo"):
        delattr(os, name)
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # type: ignore[assignment]
    for module in ("files", "disk", "dubbing.journal"):
        vars(import_module(f"lipsmith.{module}"))["LOCKS"] = False


def pytest_configure() -> None:
    """Begin after pytest and its plugins, which are of this system."""
    install()
