"""Faces of a film as aligned crops, the same regions of another film made from it, and how its sound begins."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.face import MOST_FACES, FaceTracker
from lipsmith.face.crop import apply, crop_image, fit_transforms, smooth_transforms
from lipsmith.face.landmarks import select
from lipsmith.face.prominence import prominence
from lipsmith.media import probe, read_frames
from lipsmith.speech.mel import SAMPLE_RATE, stream_audio

AT_ONCE: Final = 250
"""Frames in memory: longer stretches come in pieces."""
MIN_STRETCH_FRAMES: Final = 5
_SAME_SHAPE: Final = 0.02
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sight:
    """One face in one frame."""

    shot: int
    face: int
    """Identity number within the shot."""
    frame: int
    """Number in the film."""
    time: float
    """Seconds."""
    mesh: NDArray[np.float32]
    """(478, 2) pixels of the film."""


@dataclass(frozen=True)
class Geometry:
    """One unbroken stretch in which a face is seen."""

    first: int
    """Number of its first frame in the film."""
    times: NDArray[np.float64]
    """(F,) seconds."""
    meshes: NDArray[np.float32]
    """(F, 478, 2) pixels of the film."""
    transforms: NDArray[np.float64]
    """(F, 2, 3) pixels of the film to crop units, smoothed."""


@dataclass(frozen=True)
class Piece:
    """Up to `AT_ONCE` frames of a stretch, cropped."""

    crops: NDArray[np.uint8]
    """(F, S, S, 3) RGB."""
    meshes: NDArray[np.float32]
    """(F, 478, 2) crop units."""
    times: NDArray[np.float64]
    """(F,) seconds."""
    first: int
    """Number of the first frame in the film."""


def find_face(path: Path, end: float | None = None) -> list[Geometry]:
    """Where each shot's largest face is, up to `end` seconds, the one that a dub takes unless told otherwise.

    Raises InputError where none is seen for long enough.
    """
    found: list[Geometry] = []
    for _, shot in groupby(_tracked(path, end), key=attrgetter("shot")):
        found += [_geometry(run) for run in _unbroken(_largest(shot)) if len(run) >= MIN_STRETCH_FRAMES]
    if not found:
        raise InputError(
            f"{path}: no face is seen for {MIN_STRETCH_FRAMES} frames on end; give footage of a speaking face"
        )
    return found


def pieces(path: Path, stretches: list[Geometry], size: int = 128) -> Iterator[Piece]:
    """Crops of the film's stretches, in order, from one reading of the film."""
    frames = read_frames(path)
    place = 0
    for stretch in stretches:
        for start in range(0, len(stretch.times), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            transforms, meshes = stretch.transforms[part], stretch.meshes[part]
            first = stretch.first + start
            chosen = islice(frames, first - place, first - place + len(transforms))
            crops = [crop_image(f.image, t, size) for f, t in zip(chosen, transforms, strict=False)]
            if not crops:
                return
            place = first + len(crops)
            count = len(crops)
            yield Piece(
                np.stack(crops),
                apply(transforms[:count], meshes[:count]).astype(np.float32),
                stretch.times[part][:count],
                first,
            )


def follow(real: Path, generated: Path, stretches: list[Geometry]) -> tuple[list[Geometry], list[Geometry]]:
    """The stretches of `real`, and the same ones in a film made from it, frame for frame.

    Pictures of one shape have the face in the same place, scaled to their size; else (a system that gives face crops)
    it is found in `generated` itself, and what is seen in both films is kept.
    """
    a, b = probe(real), probe(generated)
    across, down = a.width / b.width, a.height / b.height
    if abs(across / down - 1) < _SAME_SHAPE:
        scale = np.array([across, down, 1.0])
        scaled = [replace(s, meshes=s.meshes / scale[:2], transforms=s.transforms * scale) for s in stretches]
        return stretches, scaled
    _LOG.info("%s has another shape than %s: the largest face in it is measured", generated, real)
    found = find_face(generated)
    pairs = [pair for stretch in stretches for own in found if (pair := _common(stretch, own))]
    if not pairs:
        raise InputError(f"{generated}: its face is never seen where that of {real} is; are they the same film?")
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def read_beginning(film: Path, seconds: float) -> NDArray[np.float32]:
    """As `lipsmith.speech.mel.read_audio`, but no further than needed: films may last for hours. May be empty."""
    samples = islice(chain.from_iterable(stream_audio(film)), round(seconds * SAMPLE_RATE))
    wave = np.fromiter(samples, np.float32)
    return np.clip(wave, -1.0, 1.0, out=wave)


def _largest(shot: Iterable[Sight]) -> list[Sight]:
    faces: dict[int, list[Sight]] = defaultdict(list)
    for sight in shot:
        faces[sight.face].append(sight)
    return max(faces.values(), key=_prominence)


def _prominence(face: list[Sight]) -> float:
    return prominence(float(np.median([np.ptp(sight.mesh[:, 0]) for sight in face])), len(face))


def _tracked(path: Path, end: float | None) -> Iterator[Sight]:
    """The faces of a film, one frame after the other."""
    tracker = FaceTracker(MOST_FACES)
    for number, frame in enumerate(read_frames(path, end=end)):
        tracked = tracker.track(frame.image)
        yield from (Sight(tracked.shot, face.face, number, frame.time, face.mesh) for face in tracked.faces)


def _unbroken(face: list[Sight]) -> list[list[Sight]]:
    breaks = [at for at in range(1, len(face)) if face[at].frame != face[at - 1].frame + 1]
    return [face[start:end] for start, end in pairwise([0, *breaks, len(face)])]


def _common(a: Geometry, b: Geometry) -> tuple[Geometry, Geometry] | None:
    low = max(a.first, b.first)
    high = min(a.first + len(a.times), b.first + len(b.times))
    return (_part(a, low, high), _part(b, low, high)) if high - low >= MIN_STRETCH_FRAMES else None


def _part(stretch: Geometry, low: int, high: int) -> Geometry:
    part = slice(low - stretch.first, high - stretch.first)
    return Geometry(low, stretch.times[part], stretch.meshes[part], stretch.transforms[part])


def _geometry(run: list[Sight]) -> Geometry:
    times = np.array([sight.time for sight in run])
    meshes = np.stack([sight.mesh for sight in run])
    transforms = smooth_transforms(fit_transforms(select(meshes)), times)
    return Geometry(run[0].frame, times, meshes, transforms)
