"""Finds the faces of a film, and draws nothing."""

from __future__ import annotations

from pathlib import Path

from lipsmith.config import path_of
from lipsmith.dubbing.scan import ArrayStore, Face, Scanner, Sizes
from lipsmith.dubbing.source import FileSource
from lipsmith.face import MOST_FACES, FaceTracker
from lipsmith.inference.model_folder import usable_cores
from lipsmith.progress import Progress


def find_faces(
    video: Path | str,
    start: float | None = None,
    end: float | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Face]:
    """All faces of a film, shot by shot, with the numbers for `Dubber.prepare`; needs no model.

    Raises `InputError` if the film cannot be read or shows no face.
    """
    threads = threads or usable_cores()
    scanner = Scanner(FaceTracker(MOST_FACES, threads), ArrayStore(), Sizes(), threads)
    return scanner.scan(FileSource(path_of(video, "The footage"), start, end), progress).faces
