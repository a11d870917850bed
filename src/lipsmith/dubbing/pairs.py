"""Pairs videos with speech files and results: two files, folders, or the rows of a table."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lipsmith.dubbing.table import read_table
from lipsmith.errors import InputError, UsageError
from lipsmith.files import require
from lipsmith.media.suffixes import FILMS, PICTURES, SOUNDS, is_media
from lipsmith.media.writing import CONTAINERS
from lipsmith.names import as_stored, normalized

_LOG = logging.getLogger(__name__)

_COLUMNS: Final = ("video", "speech", "output")


@dataclass(frozen=True)
class Job:
    """One dub to run."""

    video: Path
    speech: Path
    output: Path


def pair(video: Path, speech: Path, output: Path) -> list[Job]:
    """The jobs of a video, or a folder of videos, and a speech file, or a folder of them.

    Two files make one job. A folder and a file: each file of the folder is paired with that file, and results are named
    after the folder's files. Two folders: files with equal names are paired. With a folder, `output` is a folder,
    created if missing. Raises `InputError` if a path does not exist, or there is nothing to pair.
    """
    if not video.is_dir() and not speech.is_dir():
        return [Job(video, speech, output)]
    require(video, speech)
    films = _media(video, FILMS | PICTURES) if video.is_dir() else [video]
    speeches = _media(speech, SOUNDS | FILMS) if speech.is_dir() else [speech]
    if video.is_dir() and speech.is_dir():
        chosen = [(film, words, film.stem) for film in films for words in speeches if _stem(film) == _stem(words)]
        _warn_alone({*films, *speeches} - {path for film, words, _ in chosen for path in (film, words)})
    else:
        several_films = video.is_dir()
        chosen = [(film, words, film.stem if several_films else words.stem) for film in films for words in speeches]
    if not chosen:
        raise InputError(
            f"{video} and {speech} have no videos and speech files of equal names; rename them or pair them in a table."
        )
    _make_folder(output)
    return [Job(film, words, output / f"{name}.mp4") for film, words, name in chosen]


def _stem(file: Path) -> str:
    return normalized(file.stem)


def _warn_alone(files: Collection[Path]) -> None:
    """Warn about files without a partner, and about names that differ only in upper and lower case."""
    names = Counter(_stem(path).casefold() for path in files)
    for alone in sorted(files):
        hint = "; names differ only in upper and lower case" if names[_stem(alone).casefold()] > 1 else ""
        _LOG.warning("%s is skipped: the other folder has no file of that name%s", alone, hint)


def read_pairs(table: Path, output: Path | None = None) -> list[Job]:
    """The jobs in a CSV file with the columns video, speech and output; paths are relative to the file's folder.

    `output`: a folder for all results, instead of the table's folder. Raises `InputError` for an invalid table.
    """
    jobs = [_job(table, number, row, output) for number, row in read_table(table, _COLUMNS)]
    if output is not None:
        _make_folder(output)
    if not jobs:
        raise InputError(f"{table} has no rows; add rows with a video, a speech file and an output.")
    return jobs


def _make_folder(output: Path) -> None:
    if output.suffix.lower() in CONTAINERS and not output.exists():
        raise UsageError(f"{output} is the name of a film; give a folder for the results.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; give a folder for the results.")
    output.mkdir(parents=True, exist_ok=True)


def _job(table: Path, number: int, row: Mapping[str, str], output: Path | None) -> Job:
    video, speech, result = (Path(row[column]) for column in _COLUMNS)
    if output is not None and result.is_absolute():
        result = Path(result.name)
    if output is not None and Path(os.path.normpath(result)).parts[:1] == (os.pardir,):
        raise InputError(
            f"{table}, line {number}: the output {result} leads out of the folder {output}; correct it, or omit -o."
        )
    return Job(as_stored(table.parent / video), as_stored(table.parent / speech), (output or table.parent) / result)


def _media(folder: Path, suffixes: Collection[str]) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    found = [path for path in files if is_media(path, suffixes)]
    if left := [path.name for path in files if path not in found]:
        _LOG.warning("%s: skipped files of other kinds: %s", folder, ", ".join(left))
    if not found:
        raise InputError(f"{folder} has no file of a known kind ({', '.join(sorted(suffixes))}).")
    return found
