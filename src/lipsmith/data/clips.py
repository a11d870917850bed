"""Prepared clips on disk and in memory.

A prepared clip is `<clip>.mp4` (the face crop), `<clip>.npz` (geometry, times, mel) and a line of `manifest.jsonl`;
docs/architecture.md lists shapes and units. OpenCV decodes these small constant-rate files exactly, so training needs
no media library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.config import build
from lipsmith.errors import InputError
from lipsmith.face.landmarks import NUM_MESH, NUM_POINTS
from lipsmith.files import DAMAGED, write_whole
from lipsmith.speech.mel import MEL_LIMIT, MEL_RATE, MELS

MANIFEST: Final = "manifest.jsonl"


@dataclass(frozen=True)
class ClipRecord:
    """One line of the manifest."""

    clip: str
    """Path below the prepared folder, without suffix: `<split>/<identity>/<name>`."""
    split: str
    """`train`, `val` or `test`."""
    identity: str
    """Identity of the speaker."""
    source: str
    """The source file."""
    frames: int
    """Number of frames."""
    fps: float
    """Mean frames per second of the source."""
    seconds: float
    """Duration."""
    tracked: float
    """Share of the frames in which a face was detected, 0..1."""
    offset: float = 0.0
    """Seconds by which the speech lags the picture; loading corrects for it."""
    start: float | None = None
    """Seconds of the source before the clip; None if an earlier version prepared it."""
    first: int | None = None
    """Number of the clip's first frame in the source; None if an earlier version prepared it."""

    def __post_init__(self) -> None:
        place = PurePosixPath(self.clip)
        if place.is_absolute() or ".." in place.parts or not place.name:
            raise ValueError(f"clip = {self.clip!r} does not lie below the prepared folder")
        if self.frames < 1:
            raise ValueError(f"frames = {self.frames} is below 1")


_KEYS: Final = frozenset(field.name for field in fields(ClipRecord))


@dataclass(frozen=True)
class PreparedClip:
    """A prepared clip in memory: F frames of side S."""

    record: ClipRecord
    images: NDArray[np.uint8] | None
    """(F, S, S, 3) RGB, or None if only geometry was loaded."""
    landmarks: NDArray[np.float32]
    """(F, 131, 2) crop units."""
    transforms: NDArray[np.float32]
    """(F, 2, 3) source pixels to crop units."""
    times: NDArray[np.float64]
    """(F,) seconds."""
    tracked: NDArray[np.bool_]
    """(F,) whether a face was detected."""
    mel: NDArray[np.float32]
    """(80, steps) in [-4, 4], in sync with the picture."""


def read_manifest(root: Path, *splits: str) -> list[ClipRecord]:
    """Records of all clips below `root`, or of some splits, by rising name.

    The file has the order in which parallel workers finished, with which trainings and cross-driven figures would
    differ between two preparations of the same footage. A line truncated by an interruption is skipped, because its
    clip is incomplete. Of several lines of a clip, as in joined manifests, the last counts. Raises InputError if there
    is no manifest, no clip of one of the splits, or a line does not describe a clip.
    """
    if root.is_file():
        raise InputError(f"{root} is a file; give a folder of prepared clips.")
    by_clip = {record.clip: record for record in _records(root / MANIFEST)}
    records = [by_clip[clip] for clip in sorted(by_clip)]
    if not records:
        raise InputError(f"{root}: no prepared clips here; make them with `lipsmith prepare SRC {root}`.")
    found = sorted({record.split for record in records})
    for split in splits:
        if split not in found:
            raise InputError(
                f"{root}: no clip is of the split '{split}', only of {', '.join(found)}; use one of these, or sort the"
                " footage into folders train, val and test, and prepare it into another folder."
            )
    return [record for record in records if not splits or record.split in splits]


def write_manifest(root: Path, records: list[ClipRecord]) -> None:
    """Write the manifest of `root` atomically."""
    with write_whole(root / MANIFEST) as beside:
        beside.write_text("".join(json.dumps(asdict(record)) + "\n" for record in records), encoding="utf-8")


def load_clip(root: Path, record: ClipRecord, *, images: bool = True) -> PreparedClip:
    """Load one clip; its mel is shifted by the clip's stored offset, so that sound and picture are in sync.

    Raises InputError if a file of the clip is missing or damaged.
    """
    stored = _arrays(root, record, "landmarks", "transforms", "times", "tracked", "mel")
    return PreparedClip(
        record=record,
        images=read_crops(root / f"{record.clip}.mp4", record.frames) if images else None,
        landmarks=stored["landmarks"],
        transforms=stored["transforms"],
        times=stored["times"],
        tracked=stored["tracked"],
        mel=shift_mel(stored["mel"].astype(np.float32), record.offset),
    )


def load_mesh(root: Path, record: ClipRecord) -> NDArray[np.float32]:
    """The whole mesh `(F, 478, 2)` of a clip, in crop units. Raises InputError if its file is missing or damaged."""
    return _arrays(root, record, "mesh")["mesh"].astype(np.float32)


def _arrays(root: Path, record: ClipRecord, *names: str) -> dict[str, NDArray[Any]]:
    path = _present(root / f"{record.clip}.npz")
    try:
        with np.load(path) as arrays:
            found = {name: arrays[name] for name in names}
        if not all(_is_valid(name, array, record.frames) for name, array in found.items()):
            raise ValueError
    except DAMAGED as error:
        raise InputError(f"{path}: not a readable prepared clip; delete it and prepare again.") from error
    return found


def _present(path: Path) -> Path:
    """`path`, a file of a prepared clip. Raises InputError if it is missing."""
    if not path.is_file():
        raise InputError(f"{path}: missing, though the manifest lists it; prepare again.")
    return path


def _is_valid(name: str, array: NDArray[Any], frames: int) -> bool:
    """Whether an array has its shape and type, and finite values: OpenCV crashes where it draws other points.

    It may not be empty, as a mel without a step would be.
    """
    shapes = {
        "landmarks": (frames, NUM_POINTS, 2),
        "mesh": (frames, NUM_MESH, 2),
        "transforms": (frames, 2, 3),
        "times": (frames,),
        "tracked": (frames,),
        "mel": (MELS, *array.shape[1:2]),
    }
    kind = "b" if name == "tracked" else "f"
    return (
        array.shape == shapes[name] and array.size > 0 and array.dtype.kind == kind and bool(np.isfinite(array).all())
    )


def shift_mel(mel: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
    """Mel `(80, steps)` shifted `seconds` earlier, padded with silence."""
    steps = round(seconds * MEL_RATE)
    if steps == 0:
        return mel
    shifted = np.full_like(mel, -MEL_LIMIT)
    if steps > 0:
        shifted[:, :-steps] = mel[:, steps:]
    else:
        shifted[:, -steps:] = mel[:, :steps]
    return shifted


def read_crops(path: Path, frames: int) -> NDArray[np.uint8]:
    """The first `frames` frames `(frames, S, S, 3)` RGB of a crop film. Raises InputError if it has fewer."""
    import cv2

    film = cv2.VideoCapture(str(_present(path)))
    images = np.empty(0, np.uint8)
    for index in range(frames):
        whole, image = film.read()
        if not whole:
            raise InputError(f"{path}: ends after {index} of {frames} frames; delete it and prepare again.")
        if index == 0:
            images = np.empty((frames, *image.shape), np.uint8)
        images[index] = image[..., ::-1]
    film.release()
    return images


def prepared_side(root: Path, record: ClipRecord) -> int:
    """Side of a clip's crops, pixels: one for all clips of a folder. Raises InputError as `read_crops`."""
    return len(read_crops(root / f"{record.clip}.mp4", 1)[0])


def _records(path: Path) -> Iterator[ClipRecord]:
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        with suppress(json.JSONDecodeError):
            yield _record(json.loads(line), f"{path}: line {number}")


def _record(row: object, where: str) -> ClipRecord:
    """The record of one line; unknown keys (of later versions) are ignored."""
    if isinstance(row, dict):
        row = {key: value for key, value in row.items() if key in _KEYS}
    try:
        return build(ClipRecord, row, where, InputError)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix('.')}; delete this line and prepare again.") from error
