"""Which files are clips, who speaks in them and to which split they belong, read off folder layouts."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lipsmith.errors import InputError

MEDIA: Final = frozenset(
    {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".ogv"}
)
PARTIAL: Final = ".partial"
"""Ending of files that are not whole yet; their names begin with a dot."""
SPLITS: Final = {
    "train": "train",
    "pretrain": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


@dataclass(frozen=True)
class Job:
    """One source file to be prepared."""

    source: Path
    split: str
    identity: str
    name: str

    @property
    def clip(self) -> str:
        """Path of the result below the prepared folder, without ending."""
        return f"{self.split}/{self.identity}/{self.name}"


def find_jobs(sources: Iterable[str | Path]) -> list[Job]:
    """Jobs for files, folders (searched below) and globs, each clip name once.

    Raises InputError for a source that does not exist or holds no media file.
    """
    jobs = [job for source in sources for job in _expand(str(source))]
    return _distinct(sorted(set(jobs), key=lambda job: (job.clip, job.source)))


def _expand(source: str) -> Iterator[Job]:
    path = Path(source)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if _is_media(file))
        if not found:
            raise InputError(f"{source}: no video below this folder; name one that holds footage")
        lists = _split_lists(path)
        root = path.parent if _known(path.name) else path
        yield from (_job(file, file.relative_to(root), lists) for file in found)
    elif path.exists():
        yield _job(path, Path(path.parent.name) / path.name if _known(path.parent.name) else Path(path.name), {})
    else:
        matches = sorted(glob.glob(source, recursive=True))
        if not matches:
            raise InputError(f"{source}: no such file or folder; check the path")
        for match in matches:
            yield from _expand(match)


def _job(file: Path, relative: Path, lists: dict[str, str]) -> Job:
    """LRS2 keeps speakers in folders and splits in lists; LRW keeps `WORD/split/WORD_n`; others split at the top."""
    folders = relative.parts[:-1]
    listed = lists.get("/".join((*folders[-1:], file.stem)))
    splits = [SPLITS[folder] for folder in folders if _known(folder)]
    split = listed or (splits[0] if splits else "train")
    is_lrw = len(folders) >= 2 and _known(folders[-1]) and file.stem.startswith(folders[-2] + "_")
    owners = [folder for folder in folders if not _known(folder) and folder != "main"]
    if is_lrw:
        identity = file.stem
    elif owners:
        identity = owners[-1]
    else:
        identity = re.sub(r"[_-]\d+$", "", file.stem)
    return Job(file, split, _plain(identity), _plain(file.stem))


def _split_lists(root: Path) -> dict[str, str]:
    """LRS2's `train.txt`, `val.txt`, `test.txt`: lines `speaker/clip [tag]` to splits; pre-training is training."""
    lists: dict[str, str] = {}
    for name in ("pretrain", "train", "val", "test"):
        for folder in (root, root.parent):
            file = folder / f"{name}.txt"
            if file.is_file():
                lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
                lists.update({line.split()[0]: SPLITS[name] for line in lines if line.strip()})
                break
    return lists


def _distinct(jobs: list[Job]) -> list[Job]:
    """Two sources of one name are told apart by a number."""
    seen: dict[str, int] = {}
    distinct = []
    for job in jobs:
        count = seen[job.clip] = seen.get(job.clip, 0) + 1
        distinct.append(job if count == 1 else replace(job, name=f"{job.name}~{count}"))
    return distinct


def _known(folder: str) -> bool:
    return folder in SPLITS


def _is_media(file: Path) -> bool:
    return file.suffix.lower() in MEDIA and file.is_file() and not file.name.startswith(".")


def _plain(name: str) -> str:
    return re.sub(r"[^\w.~-]+", "_", name)
