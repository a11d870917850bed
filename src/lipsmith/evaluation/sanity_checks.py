"""Whether figures of a film against the real one mean something: what is refused, and what is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.evaluation.films import Geometry, pieces
from lipsmith.evaluation.sound import opening, same_sound
from lipsmith.face import FaceMesh
from lipsmith.face.mesh import mesh_square
from lipsmith.face.tracker import PRESENT
from lipsmith.media import probe

_SAME: Final = 0.02
"""Share by which shapes and rates may differ and still be one."""
_SPARE: Final = 5
"""Frames by which films may differ without a word: encoders drop and repeat a few at the ends."""
_EVERY: Final = 5
_ASIDE: Final = 0.06
"""Crop units, mean over the mesh. Another person's face in the same place is off by 0.05, one that is beside it by ten
pixels of 128 by 0.08."""
_HEARD: Final = 20.0
"""Seconds of speech that tell whether films say the same."""
_LOG = logging.getLogger(__name__)


def refuse_side_by_side(real: Path, generated: Path) -> None:
    """Raise InputError for a generated film that shows two pictures of the real one's shape: which is meant?"""
    a, b = probe(real), probe(generated)
    if abs((b.width / b.height) / (2 * a.width / a.height) - 1) < _SAME:
        raise InputError(f"{generated}: twice as wide as {real}, as if side by side with it; give the result alone")


def tell_lengths(real: Path, generated: Path) -> None:
    """Warn where frames of the same number may not be of the same moment."""
    a, b = probe(real), probe(generated)
    if a.frames is not None and b.frames is not None and abs(a.frames - b.frames) > _SPARE:
        _LOG.warning("%s has %d frames and %s %d; the common part counts", real, a.frames, generated, b.frames)
    if abs(a.rate / b.rate - 1) > _SAME:
        rates = float(a.rate), float(b.rate)
        _LOG.warning(
            "%s has %.4g frames a second and %s %.4g: matched by number, they show other moments unless every frame "
            "of the one became one of the other",
            *(real, rates[0], generated, rates[1]),
        )


def tell_other_speech(real: Path, generated: Path) -> None:
    """Warn where two films with sound do not say the same, so that the one is no truth for the other."""
    if not same_sound(opening(real, _HEARD), opening(generated, _HEARD)):
        _LOG.warning(
            "%s does not say what %s says: figures that need the truth tell nothing then; add --other-speech",
            *(generated, real),
        )


def require_face(generated: Path, stretches: list[Geometry], detector: FaceMesh) -> None:
    """Look into some frames of `stretches`, where the real film's face is; warn where most of them show no face there.

    Raises InputError where none does.
    """
    seen = [
        _is_there(detector, crop, mesh)
        for piece in pieces(generated, stretches)
        for crop, mesh in zip(piece.crops[::_EVERY], piece.meshes[::_EVERY], strict=True)
    ]
    if seen and not any(seen):
        raise InputError(f"{generated}: no face is seen where the real film has one; are they the same film?")
    if 2 * sum(seen) < len(seen):
        _LOG.warning("%s: in %d of %d frames no face is where the real one is", generated, seen.count(False), len(seen))


def _is_there(detector: FaceMesh, crop: NDArray[np.uint8], mesh: NDArray[np.float32]) -> bool:
    """Whether a crop shows a face at `mesh` `(478, 2)`, crop units."""
    size = len(crop)
    found, score = detector(crop, mesh_square(mesh * np.float32(size)))
    aside = np.linalg.norm(found / size - mesh, axis=1).mean()
    return bool(score >= PRESENT and aside < _ASIDE)
