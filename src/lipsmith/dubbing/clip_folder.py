"""Saves and loads a clip: lossless frames, faces, and their reference crops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.config import build
from lipsmith.disk import disk_errors, hidden_folder_beside
from lipsmith.dubbing.scan import ArrayStore, Face, Scan
from lipsmith.dubbing.scan_file import read_scan, write_scan
from lipsmith.dubbing.source import Footage, Source
from lipsmith.errors import InputError, UsageError
from lipsmith.files import DAMAGED, refuse_filled
from lipsmith.media import Frame, VideoInfo
from lipsmith.media.container import Chapter
from lipsmith.media.lossless import LosslessFrames, write_lossless

_FORMAT: Final = 3
_FRAMES, _FACES, _CLIP = "frames.avi", "faces.npz", "clip.json"


@dataclass(frozen=True, kw_only=True)
class _StoredClip:
    """The content of clip.json."""

    format: int
    name: str
    rate: str
    face_size: int
    """Side of the reference crops in pixels, as set by the model."""
    chosen: list[int]
    info: dict[str, Any] | None = None


@dataclass(frozen=True)
class ScannedClip:
    """Footage with its scan and the faces to dub."""

    source: Source
    scan: Scan
    chosen: list[Face]
    face_size: int


class StoredSource:
    """The frames of a clip folder."""

    def __init__(self, film: Path, footage: Footage, times: NDArray[np.float64]) -> None:
        self._film, self.footage, self._times = film, footage, times

    def frames(self) -> Iterator[Frame]:
        """Every frame in order."""
        order = np.arange(len(self._times))
        for index, image in enumerate(self.show(order, self._times)):
            yield Frame(image, float(self._times[index]), index)

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        """Images `(H, W, 3)` of the frames numbered `order`, in any order."""
        film = LosslessFrames(self._film)
        try:
            for index in order:
                yield film[int(index)]
        finally:
            film.close()


def write_clip_folder(folder: Path, clip: ScannedClip) -> Path:
    """Save `clip` to `folder`, which must be new or empty.

    Raises `UsageError` if it is not empty, `LipsmithError` if it cannot be written, as on a full disk.
    """
    _require_empty(folder)
    footage, scan = clip.source.footage, clip.scan
    with disk_errors(folder), _new_folder(folder) as hidden:
        order = np.arange(len(scan.times))
        write_lossless(hidden / _FRAMES, clip.source.show(order, scan.times))
        write_scan(hidden / _FACES, scan)
        stored = _StoredClip(
            format=_FORMAT,
            name=footage.name,
            rate=str(footage.rate),
            face_size=clip.face_size,
            chosen=[face.index + 1 for face in clip.chosen],
            info=asdict(footage.info) if footage.info else None,
        )
        (hidden / _CLIP).write_text(json.dumps(asdict(stored), default=str, indent=1) + "\n", encoding="utf-8")
    return folder


def _require_empty(folder: Path) -> None:
    """Raise `UsageError` for a folder that is a file or holds something; no option replaces a clip."""
    refuse_filled(folder, overwrite=True)
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose another folder.")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that appears as `folder` at once, so that two runs cannot mix their files.

    Raises `UsageError` if another run has filled `folder` in the meantime.
    """
    folder = folder.absolute()
    with hidden_folder_beside(folder) as hidden:
        whole = hidden / "whole"
        whole.mkdir()
        yield whole
        _require_empty(folder)
        if not folder.exists():
            whole.replace(folder)
            return
        for path in whole.iterdir():  # an empty folder stays itself, because it may be the current one
            path.replace(folder / path.name)


def read_clip_folder(folder: Path, store: ArrayStore, face_size: int) -> ScannedClip:
    """Load the clip that `write_clip_folder` wrote to `folder`; its points and reference crops go to `store`.

    Raises `InputError` if it is missing, damaged or of another version, and `UsageError` if it was prepared for a model
    with another crop size than `face_size`.
    """
    try:
        table = json.loads((folder / _CLIP).read_text(encoding="utf-8"))
        if not isinstance(table, dict) or table.get("format") != _FORMAT:
            raise InputError(f"{folder} was saved by another version of lipsmith; prepare the clip again.")
        stored = build(_StoredClip, table, f"{folder / _CLIP} is damaged", InputError)
        if stored.face_size != face_size:
            sides = f"{stored.face_size} pixels, but this one has {face_size}"
            raise UsageError(f"{folder} was prepared for a model with crops of {sides}; prepare the clip again.")
        scan = read_scan(folder / _FACES, store)
        footage = Footage(stored.name, _rate_of(stored.rate), len(scan.times), _info_of(stored.info))
    except (*DAMAGED, TypeError, ZeroDivisionError) as error:
        raise InputError(f"{folder} is not a saved clip ({error}); save it again.") from error
    source = StoredSource(folder / _FRAMES, footage, scan.times)
    chosen = [face for face in scan.faces if face.index + 1 in stored.chosen]
    return ScannedClip(source, scan, chosen, stored.face_size)


def _rate_of(text: str) -> Fraction:
    rate = Fraction(text)
    if rate <= 0:
        raise ValueError(f"it has {text} frames per second")
    return rate


def _info_of(table: dict[str, Any] | None) -> VideoInfo | None:
    if table is None:
        return None
    chapters = tuple(Chapter(**chapter) for chapter in table["chapters"])
    rates = {name: Fraction(table[name]) for name in ("rate", "sample_aspect")}
    own = {"path": Path(table["path"]), "chapters": chapters, "remarks": tuple(table["remarks"]), **rates}
    return VideoInfo(**table | own)
