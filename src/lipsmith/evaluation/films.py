"""Reads a film to measure: frames, whole or half and at any lower rate; its face as aligned crops; its first sound."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.face import MOST_FACES, FaceTracker
from lipsmith.face.stretches import Stretch, crop_frames, main_face, shots_of, tracked
from lipsmith.media import Frame, VideoInfo, probe, read_frames
from lipsmith.media.suffixes import ANIMATIONS, FILMS, is_media
from lipsmith.names import normalized
from lipsmith.speech.mel import SAMPLE_RATE, stream_audio

AT_ONCE: Final = 250
"""Frames in memory; longer stretches are split into pieces."""
MIN_STRETCH_FRAMES: Final = 5
_EPSILON: Final = 1e-6
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Film:
    """A film as it is measured."""

    path: Path
    rate: Fraction | None = None
    """Frames a second: for each time, the nearest frame. None for all frames."""
    half: Literal["left", "right"] | None = None
    """The half of the picture that counts; None for the whole."""

    @cached_property
    def info(self) -> VideoInfo:
        """Properties of the whole file."""
        return probe(self.path)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the part that counts, pixels."""
        info = self.info
        return (info.width // 2 if self.half else info.width), info.height

    def frames(self, end: float | None = None) -> Iterator[Frame]:
        """The frames before `end` seconds."""
        frames: Iterator[Frame] = read_frames(self.path, end=end)
        if self.rate is not None:
            frames = at_rate(frames, self.rate)
        return frames if self.half is None else (_halved(frame, self.half) for frame in frames)


@dataclass(frozen=True)
class Piece:
    """Up to `AT_ONCE` frames of a stretch, cropped."""

    crops: NDArray[np.uint8]
    """(F, S, S, 3) RGB."""
    meshes: NDArray[np.float32]
    """(F, 478, 2) crop units."""
    times: NDArray[np.float64]
    """(F,) seconds."""


def at_rate(frames: Iterable[Frame], rate: Fraction) -> Iterator[Frame]:
    """For each multiple of 1 / `rate` seconds until the last frame, the nearest frame, with its new number and time."""
    number = 0
    for frame, following in pairwise(chain(frames, [None])):
        assert frame is not None
        until = frame.time if following is None else (frame.time + following.time) / 2
        while (time := float(number / rate)) <= until + _EPSILON:
            yield replace(frame, index=number, time=time)
            number += 1


def find_face(film: Film, end: float | None = None) -> list[Stretch]:
    """Stretches of each shot's main face, up to `end` seconds: the face that a dub selects by default.

    Raises InputError if no face is visible for long enough.
    """
    shots = shots_of(tracked(film.frames(end), FaceTracker(MOST_FACES)), whole_mesh=True)
    stretches = [stretch for shot in shots if shot.faces for stretch in shot.clear_stretches(main_face(shot.faces))]
    found = [stretch for stretch in stretches if len(stretch) >= MIN_STRETCH_FRAMES]
    if not found:
        raise InputError(
            f"{film.path}: no face is visible in {MIN_STRETCH_FRAMES} consecutive frames; "
            "give footage of a speaking face."
        )
    return found


def pieces(film: Film, stretches: list[Stretch], size: int = 128) -> Iterator[Piece]:
    """Crops of the film's stretches, in order, from one reading of the film."""
    frames = film.frames()
    for stretch in stretches:
        crops = crop_frames(frames, stretch, size)
        place = 0
        while images := list(islice(crops, AT_ONCE)):
            part = slice(place, place + len(images))
            yield Piece(np.stack(images), stretch.points[part], stretch.times[part])
            place += len(images)


def films_below(folder: Path) -> dict[str, Path]:
    """Films and animations below a folder, by path without suffix.

    Of several that differ only in the suffix, the last by name is used; a film precedes an animation, which may be its
    preview.
    """
    films: dict[str, Path] = {}
    found = [path for path in folder.rglob("*") if is_media(path, FILMS | ANIMATIONS)]
    for path in sorted(found, key=lambda path: (is_media(path, FILMS), path)):
        name = normalized(path.relative_to(folder).with_suffix("").as_posix())
        if name in films:
            _LOG.warning("%s is skipped: %s has the same name", films[name], path)
        films[name] = path
    return films


def read_beginning(film: Path, seconds: float) -> NDArray[np.float32]:
    """Like `lipsmith.speech.mel.read_audio`, for the first `seconds` only, because films may be long. May be empty."""
    samples = islice(chain.from_iterable(stream_audio(film)), round(seconds * SAMPLE_RATE))
    wave = np.fromiter(samples, np.float32)
    return np.clip(wave, -1.0, 1.0, out=wave)


def _halved(frame: Frame, half: Literal["left", "right"]) -> Frame:
    middle = frame.image.shape[1] // 2
    part = slice(0, middle) if half == "left" else slice(middle, 2 * middle)
    return replace(frame, image=np.ascontiguousarray(frame.image[:, part]))
