"""Reads the faces of a film as aligned crops, the same regions of a film generated from it, and its first sound."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.face import MOST_FACES, FaceTracker
from lipsmith.face.stretches import Stretch, crop_frames, main_face, track_shots
from lipsmith.media import probe, read_frames
from lipsmith.speech.mel import SAMPLE_RATE, stream_audio

AT_ONCE: Final = 250
"""Frames in memory; longer stretches are split into pieces."""
MIN_STRETCH_FRAMES: Final = 5
_SAME_SHAPE: Final = 0.02
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """Up to `AT_ONCE` frames of a stretch, cropped."""

    crops: NDArray[np.uint8]
    """(F, S, S, 3) RGB."""
    meshes: NDArray[np.float32]
    """(F, 478, 2) crop units."""
    times: NDArray[np.float64]
    """(F,) seconds."""


def find_face(path: Path, end: float | None = None) -> list[Stretch]:
    """Stretches of each shot's main face, up to `end` seconds: the face that a dub selects by default.

    Raises InputError if no face is visible for long enough.
    """
    shots = track_shots(read_frames(path, end=end), FaceTracker(MOST_FACES), whole_mesh=True)
    stretches = [stretch for shot in shots if shot.faces for stretch in main_face(shot.faces).stretches]
    found = [stretch for stretch in stretches if len(stretch) >= MIN_STRETCH_FRAMES]
    if not found:
        raise InputError(
            f"{path}: no face is visible in {MIN_STRETCH_FRAMES} consecutive frames; give footage of a speaking face"
        )
    return found


def pieces(path: Path, stretches: list[Stretch], size: int = 128) -> Iterator[Piece]:
    """Crops of the film's stretches, in order, from one reading of the film."""
    frames = read_frames(path)
    for stretch in stretches:
        crops = crop_frames(frames, stretch, size)
        place = 0
        while images := list(islice(crops, AT_ONCE)):
            part = slice(place, place + len(images))
            yield Piece(np.stack(images), stretch.points[part], stretch.times[part])
            place += len(images)


def follow(real: Path, generated: Path, stretches: list[Stretch]) -> tuple[list[Stretch], list[Stretch]]:
    """The stretches of `real`, and the corresponding stretches in a film generated from it, frame for frame.

    Films of the same aspect ratio have the face in the same place, scaled to their size. In other films (face crops,
    for example) the face is detected in `generated`, and the frames in which both films show it are kept.
    """
    a, b = probe(real), probe(generated)
    across, down = a.width / b.width, a.height / b.height
    if abs(across / down - 1) < _SAME_SHAPE:
        scale = np.array([across, down, 1.0])
        return stretches, [replace(stretch, transforms=stretch.transforms * scale) for stretch in stretches]
    _LOG.info("%s has another aspect ratio than %s: its main face is measured", generated, real)
    found = find_face(generated)
    pairs = [pair for stretch in stretches for own in found if (pair := _common(stretch, own))]
    if not pairs:
        raise InputError(f"{generated}: no frame shows a face where {real} does; check that they are the same film")
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def read_beginning(film: Path, seconds: float) -> NDArray[np.float32]:
    """Like `lipsmith.speech.mel.read_audio`, for the first `seconds` only, because films may be long. May be empty."""
    samples = islice(chain.from_iterable(stream_audio(film)), round(seconds * SAMPLE_RATE))
    wave = np.fromiter(samples, np.float32)
    return np.clip(wave, -1.0, 1.0, out=wave)


def _common(a: Stretch, b: Stretch) -> tuple[Stretch, Stretch] | None:
    low = max(a.first, b.first)
    high = min(a.first + len(a), b.first + len(b))
    return (a.between(low, high), b.between(low, high)) if high - low >= MIN_STRETCH_FRAMES else None
