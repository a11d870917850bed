"""The model that dubs, loaded once for any number of videos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.clip import Clip
from lipsmith.dubbing.faces import FaceTrack, choose, face_numbers, passed_over
from lipsmith.dubbing.result import People
from lipsmith.dubbing.scan import Scanner, Sizes
from lipsmith.dubbing.source import ArraySource, FileSource, Source
from lipsmith.dubbing.store import CropStore
from lipsmith.errors import UsageError, WeightsError
from lipsmith.face import MOST_FACES, FaceTracker
from lipsmith.inference.backend import Backend, load_backend
from lipsmith.weights import find_model

_LOG = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_NEEDED: Final = ("face_size", "references_per_frame", "lips", "window")
_WORDS: Final = ("largest", "left", "right", "all")


class Dubber:
    """Prepares footage and dubs it with one model."""

    def __init__(self, backend: Backend, config: dict[str, Any], model: str, threads: int | None = None) -> None:
        """`config`: the model folder's, of which `face_size`, `references_per_frame`, `lips` and `window` are used."""
        self._backend, self._config, self._model, self._threads = backend, config, model, threads or 1

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path = "fast", device: str = "auto", threads: int | None = None
    ) -> Dubber:
        """A model by name or from a folder, on `device` (auto, cpu, cuda or cuda:N).

        Raises `WeightsError` where it is missing or damaged, `UsageError` where the device is not there.
        """
        folder = find_model(name_or_folder)
        if missing := [key for key in _NEEDED if key not in folder.config]:
            raise WeightsError(f"{folder.path} is a model of another kind, which names no {missing[0]}; use fast.")
        if threads is not None and threads < 1:
            raise UsageError(f"{threads} threads cannot work; give 1 or more.")
        backend = load_backend(folder, device, threads)
        return cls(backend, folder.config, folder.config.get("name") or folder.path.resolve().name, threads)

    def prepare(
        self,
        video: Path | str | Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        face: str | int = "largest",
        start: float | None = None,
        end: float | None = None,
        rate: float = 25.0,
        progress: Progress | None = None,
    ) -> Clip:
        """Find the faces of a film, picture or sequence of RGB frames `(H, W, 3)` (at `rate` frames a second).

        `face`: largest, left or right of each shot, all, or numbers from `Clip.faces` such as 2 or "1,4".
        `start`, `end`: seconds; only the footage between them is used. `progress` gets frames done and their estimated
        total, 0 where nobody can tell. Raises `InputError` where the footage cannot be read or shows no face.
        """
        face = str(face)
        if face not in _WORDS:
            face_numbers(face)
        source: Source
        if isinstance(video, str | Path):
            source = FileSource(Path(video), start, end)
        else:
            source = ArraySource(video, rate, start, end)
        store = CropStore()
        sizes = Sizes(self._config["face_size"], self._config["lips"])
        # All of them, whichever is wanted: the largest of a shot may enter last.
        scan = Scanner(FaceTracker(MOST_FACES, self._threads), store, sizes).scan(source, progress)
        tracks = choose(scan.tracks, face)
        _LOG.info(
            "%s: %d frames, %d faces, %d to dub", source.footage.name, len(scan.times), len(scan.tracks), len(tracks)
        )
        if face in _WORDS and (others := passed_over(scan.tracks, tracks)):
            _LOG.warning(
                "%s: the original lips stay where only face %s is seen; choose faces by number, or all.",
                source.footage.name,
                ", ".join(str(track.number) for track in others),
            )
        return Clip(
            source=source,
            times=scan.times,
            size=scan.size,
            faces=scan.tracks,
            tracks=tracks,
            backend=self._backend,
            people=People(self._backend, store),
            window=self._config["window"],
            references=self._config["references_per_frame"],
            model=self._model,
        )


def find_faces(
    video: Path | str,
    start: float | None = None,
    end: float | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[FaceTrack]:
    """All faces of a film, shot by shot, with the numbers that `Dubber.prepare` takes; needs no model.

    Raises `InputError` where the film cannot be read or shows no face.
    """
    scanner = Scanner(FaceTracker(MOST_FACES, threads or 1), CropStore(), Sizes())
    return scanner.scan(FileSource(Path(video), start, end), progress).tracks
