"""Results appear whole or not at all, and never in place of something that was there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lipsmith.errors import UsageError


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise UsageError before any work is done for a result that could not be put at `path`."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; choose another name or add --overwrite")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"the folder {path.parent} cannot be written to; choose another")


def refuse_filled(folder: Path, overwrite: bool) -> None:
    """Raise UsageError before any work is done for a folder of results that is a file or holds something."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UsageError(f"{folder} holds files; choose another folder or add --overwrite")


def refuse_input(path: Path, *inputs: Path | None) -> None:
    """Raise UsageError for a result that would take the place of one of the `inputs` it is made of."""
    for given in inputs:
        if given is not None and given.resolve() == path.resolve():
            raise UsageError(f"{given} would be replaced by its own result; choose another name")


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path` to write to; it takes `path`'s name at the end, or is removed on any
    error and on interruption. The suffix is kept, for writers that go by it.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def write_whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `folder` to write to, whose files then move to `folder`; removed as `write_whole`'s.

    Other files that `folder` may hold stay.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent) as hidden:
        yield Path(hidden)
        folder.mkdir(exist_ok=True)
        for path in Path(hidden).iterdir():
            path.replace(folder / path.name)
