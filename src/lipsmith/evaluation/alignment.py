"""Lines up a film that a system generated with the real one: rate, halves, and the place of the face."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.evaluation.films import MIN_STRETCH_FRAMES, Film, find_face, pieces
from lipsmith.face import FaceMesh
from lipsmith.face.crop import ANCHORS
from lipsmith.face.detector import mesh_square
from lipsmith.face.stretches import Stretch
from lipsmith.face.tracker import PRESENT

SPARE: Final = 5
"""Difference in frames without a warning: encoders and systems drop a few frames at the ends."""
_SAME: Final = 0.02
"""Relative difference up to which aspect ratios and rates count as equal."""
_EVERY: Final = 5
"""Of so many frames one is looked at to find whether the face is where it is expected."""
_MOVED: Final = 0.012
"""Median distance in crop units from the expected eyes, nose and temples at which a head counts as moved. Of published
results on five films, Wav2Lip, IP_LAP and DiffDub have 0.004 to 0.009, PC-AVS and DAE-Talker 0.013 to 0.077; a face of
130 pixels reaches it when it is blurred by a Gaussian of 2 pixels."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alignment:
    """A real film and one generated from it, frame for frame."""

    real: Film
    generated: Film
    ours: list[Stretch]
    """Stretches of the real film."""
    theirs: list[Stretch]
    """The corresponding stretches of the generated film."""


@dataclass(frozen=True)
class FaceCheck:
    """What some frames of a film show where a face is expected."""

    seen: int
    """Number of frames with a face."""
    frames: int
    """Number of frames that were looked at."""
    moved: float
    """Median distance of its eyes, nose and temples from the expected ones, crop units; infinite if none is seen."""

    @property
    def is_in_place(self) -> bool:
        """Whether the head is where it is expected."""
        return self.moved <= _MOVED


def align(real: Film, generated: Film, detector: FaceMesh) -> Alignment:
    """Line up two films, with a warning for everything that is not frame for frame and pixel for pixel.

    Raises InputError if the generated film shows no face, or is a side-by-side comparison.
    """
    real, generated = in_step(real, generated)
    stretches = find_face(real)
    generated = without_drawing(real.size, generated, stretches, detector)
    return Alignment(real, generated, *follow(real.size, generated, stretches, detector))


def in_step(real: Film, generated: Film) -> tuple[Film, Film]:
    """Two films of which frames of the same number belong together.

    They are matched by number if their rates are equal, or if one has as many frames as the other. Otherwise the faster
    one is read at the rate of the slower one.
    """
    a, b = real.info, generated.info
    apart, counts = None, ""
    if a.frames is not None and b.frames is not None:
        apart, counts = abs(a.frames - b.frames), f" ({a.frames} and {b.frames} frames)"
    if is_same_rate(a.rate, b.rate):
        if apart is not None and apart > SPARE:
            _LOG.warning("%s and %s differ in length%s; only the common part is measured", a.path, b.path, counts)
        return real, generated
    rates = f"{float(a.rate):.4g} and {float(b.rate):.4g} frames a second"
    if apart is not None and apart <= SPARE:
        _LOG.warning("%s and %s have %s, but are of equal length; frames are matched by number", a.path, b.path, rates)
        return real, generated
    _LOG.warning("%s and %s have %s%s; frames are matched by time", a.path, b.path, rates, counts)
    rate = min(a.rate, b.rate)
    slowed = (film if film.info.rate == rate else replace(film, rate=rate) for film in (real, generated))
    return next(slowed), next(slowed)


def without_drawing(size: tuple[int, int], film: Film, stretches: list[Stretch], detector: FaceMesh) -> Film:
    """The half that shows the face, of a film that has a drawing beside it, as IP_LAP writes it; else the film itself.

    `size`: of the real film with these `stretches`. Raises InputError for a side-by-side comparison.
    """
    width, height = size
    if not is_same_shape(film.size, (2 * width, height)):
        return film
    halves = replace(film, half="left"), replace(film, half="right")
    shown = [half for half in halves if look_for_face(half, _scaled(size, half.size, stretches), detector).is_in_place]
    if len(shown) != 1:
        raise InputError(
            f"{film.path} is twice as wide as the real film, like a side-by-side comparison; give the result alone."
        )
    _LOG.warning("%s is twice as wide as the real film; its %s half is measured", film.path, shown[0].half)
    return shown[0]


def follow(
    size: tuple[int, int], film: Film, stretches: list[Stretch], detector: FaceMesh
) -> tuple[list[Stretch], list[Stretch]]:
    """The stretches of a real film, and the corresponding stretches in a `film` generated from it, frame for frame.

    `size`: width and height of the real film. If both show the face in the same place, the same regions are taken,
    scaled to the generated film's size. Otherwise (crops of the face, heads that the system moves) each film is cropped
    at its own face, and the frames in which both show it are kept. Raises InputError if there are none.
    """
    if is_same_shape(size, film.size):
        placed = _scaled(size, film.size, stretches)
        face = look_for_face(film, placed, detector)
        if face.is_in_place:
            _warn_faceless(film, face.seen, face.frames)
            return stretches, placed
        _LOG.warning("%s: the head is not where the real film has it; each film is cropped at its own face", film.path)
    else:
        _LOG.info("%s has another shape than the real film: its main face is measured", film.path)
    found = find_face(film)
    pairs = [pair for stretch in stretches for own in found if (pair := _common(stretch, own))]
    if not pairs:
        raise InputError(
            f"{film.path}: no frame shows a face where the real film has one; check that they are the same film."
        )
    _warn_faceless(film, sum(len(ours) for ours, _ in pairs), sum(map(len, stretches)))
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def look_for_face(film: Film, stretches: list[Stretch], detector: FaceMesh) -> FaceCheck:
    """Look for the face in some frames of `stretches`."""
    distances = [
        _distance(detector, crop, mesh)
        for piece in pieces(film, stretches)
        for crop, mesh in zip(piece.crops[::_EVERY], piece.meshes[::_EVERY], strict=True)
    ]
    seen = [distance for distance in distances if np.isfinite(distance)]
    return FaceCheck(len(seen), len(distances), float(np.median(seen)) if seen else np.inf)


def is_same_rate(a: Fraction, b: Fraction) -> bool:
    """Whether frames of the same number belong together at two rates."""
    return abs(a / b - 1) <= _SAME


def is_same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two sizes have the same aspect ratio."""
    return abs((a[0] / a[1]) / (b[0] / b[1]) - 1) < _SAME


def _scaled(size: tuple[int, int], other: tuple[int, int], stretches: list[Stretch]) -> list[Stretch]:
    """Stretches of a film of `size`, in a film of the `other` size."""
    scale = np.array([size[0] / other[0], size[1] / other[1], 1.0])
    return [replace(stretch, transforms=stretch.transforms * scale) for stretch in stretches]


def _warn_faceless(film: Film, seen: int, frames: int) -> None:
    if 2 * seen < frames:
        _LOG.warning("%s: %d of %d frames show no face where the real film has one", film.path, frames - seen, frames)


def _distance(detector: FaceMesh, crop: NDArray[np.uint8], mesh: NDArray[np.float32]) -> float:
    """Distance of eyes, nose and temples in a crop from those of `mesh` `(478, 2)`, crop units; infinite if unseen."""
    size = len(crop)
    found, score = detector(crop, mesh_square(mesh * np.float32(size)))
    aside = np.linalg.norm(found / size - mesh, axis=1)
    return float(aside[list(ANCHORS)].mean()) if score >= PRESENT else float(np.inf)


def _common(a: Stretch, b: Stretch) -> tuple[Stretch, Stretch] | None:
    low = max(a.first, b.first)
    high = min(a.first + len(a), b.first + len(b))
    return (a.between(low, high), b.between(low, high)) if high - low >= MIN_STRETCH_FRAMES else None
