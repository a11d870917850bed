"""Derives the source files, their speakers and their splits from folder layouts."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Final

from lipsmith.errors import InputError
from lipsmith.files import require
from lipsmith.media.suffixes import FILMS, is_media

PARTIAL: Final = ".partial"
"""Suffix of incomplete files; their names start with a dot."""
SPLITS: Final = {
    "train": "train",
    "pretrain": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
_VOXCELEB_SPEAKER: Final = re.compile(r"id\d{5}")


@dataclass(frozen=True)
class Job:
    """One source file to prepare."""

    source: Path
    split: str
    identity: str
    name: str

    @property
    def clip(self) -> str:
        """Path of the result below the prepared folder, without suffix."""
        return f"{self.split}/{self.identity}/{self.name}"


def find_jobs(sources: Iterable[str | Path], apart: Path | None = None) -> list[Job]:
    """Jobs for files, folders (recursively) and globs; files below the folder `apart` are excluded.

    Each file once, with the speaker and the split of the first of the `sources` that contains it. Raises InputError for
    a source that does not exist or has no media file.
    """
    jobs: dict[Path, Job] = {}
    for source in sources:
        for job in _expand(os.fspath(source)):
            jobs.setdefault(job.source, job)
    results = None if apart is None else _absolute(apart)
    return sorted(
        (job for job in jobs.values() if results not in job.source.parents), key=lambda job: (job.clip, job.source)
    )


def distinct(jobs: Iterable[Job], taken: Iterable[str]) -> list[Job]:
    """The jobs with unique clip names: a number is appended to names that repeat or are `taken`."""
    seen = set(taken)
    named = []
    for job in jobs:
        numbers = count(2)
        own = job
        while own.clip in seen:
            own = replace(job, name=f"{job.name}~{next(numbers)}")
        seen.add(own.clip)
        named.append(own)
    return named


def _expand(source: str) -> Iterator[Job]:
    path = _absolute(source)
    if path.exists():
        yield from _found(path, path if path.is_dir() else path.parent)
        return
    matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - pathlib does not support absolute patterns
    if not matches:
        require(Path(source))
    for match in matches:
        yield from _found(_absolute(match), _fixed_part(source))


def _fixed_part(pattern: str) -> Path:
    """The folder in which a pattern searches: its parts before the first wildcard."""
    return _absolute(Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts[:-1])))


def _found(path: Path, folder: Path) -> Iterator[Job]:
    """Jobs for the file `path`, or for all videos below it; their layout is that below `folder`."""
    if not path.is_dir():
        yield _job(path, path.relative_to(_root(folder, [path])), {})
        return
    found = sorted(file for file in _files(path) if is_media(file, FILMS))
    if not found:
        raise InputError(f"{path}: no video below this folder; give a folder with footage.")
    lists, root = _split_lists(path), _root(folder, found)
    yield from (_job(file, file.relative_to(root), lists) for file in found)


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, following linked folders, each folder once; hidden folders are ignored."""
    seen: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := Path(place).resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in names)


def _absolute(path: str | Path) -> Path:
    """The absolute path; links are not resolved, because clips are named after them."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _root(folder: Path, files: Iterable[Path]) -> Path:
    """The root of the layout, so that `test` or `test/SPEAKER` given alone still define the split of the files; a
    folder that holds splits is a root itself, wherever it lies."""
    if any(map(_known, (part for file in files for part in file.relative_to(folder).parts[:-1]))):
        return folder
    if _known(folder.name):
        return folder.parent
    # Not `dev`: many keep all their projects in such a folder.
    return folder.parent.parent if _known(folder.parent.name) and folder.parent.name.lower() != "dev" else folder


def _job(file: Path, relative: Path, lists: dict[str, str]) -> Job:
    """LRS2 has speakers in folders and splits in lists; LRW has `WORD/split/WORD_n`; VoxCeleb has a folder of each film
    below its speaker; others have splits at the top."""
    folders = relative.parts[:-1]
    # LRS2 uses the same numbers in `pretrain` and `main`; its lists refer to `main`.
    listed = lists.get("/".join((*folders[-1:], file.stem)), "train")
    named = next((folder.lower() for folder in folders if _known(folder)), None)
    split = SPLITS[named] if named else listed
    is_lrw = _known(file.parent.name) and file.stem.startswith(file.parent.parent.name + "_")
    owners = [folder for folder in folders if not _known(folder) and folder != "main"]
    name = file.stem
    if is_lrw:
        identity = name
    elif any(map(_VOXCELEB_SPEAKER.fullmatch, owners[-2:-1])):
        split = "train" if named == "dev" else split  # the set to develop systems with, of nearly all its people
        identity, film = owners[-2:]
        name = f"{film}_{name}"  # each film numbers its clips anew
    elif owners:
        identity = owners[-1]
    else:
        identity = re.sub(r"[\s_-]\d+$", "", name) or name
    return Job(file, split, _plain(identity), _plain(name))


def _split_lists(root: Path) -> dict[str, str]:
    """Splits by `speaker/clip` from LRS2's `train.txt`, `val.txt` and `test.txt`; pre-training counts as training."""
    lists: dict[str, str] = {}
    for name in ("pretrain", "train", "val", "test"):
        for folder in (root, root.parent):
            file = folder / f"{name}.txt"
            if file.is_file():
                lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
                lists.update({line.split()[0]: SPLITS[name] for line in lines if line.strip()})
                break
    return lists


def _known(folder: str) -> bool:
    """Whether a folder is named after a split, in any case: `Test` taken for a speaker would end up in training."""
    return folder.lower() in SPLITS


def _plain(name: str) -> str:
    """A file name without `~` and `+`, which mark the numbers added here."""
    return re.sub(r"[^\w.-]+", "_", name)
