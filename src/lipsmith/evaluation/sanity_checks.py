"""Whether a film can be compared with the real one: what is refused, and what causes a warning."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.evaluation.films import pieces, read_beginning
from lipsmith.face import FaceMesh
from lipsmith.face.detector import mesh_square
from lipsmith.face.stretches import Stretch
from lipsmith.face.tracker import PRESENT
from lipsmith.media import probe
from lipsmith.speech.mel import SAMPLE_RATE

_SAME: Final = 0.02
"""Share by which shapes and rates may differ and still count as equal."""
_SPARE: Final = 5
"""Frames by which films may differ without a warning: encoders drop and repeat a few at the ends."""
_EVERY: Final = 5
_ASIDE: Final = 0.06
"""Crop units, mean over the mesh. Another person's face in the same place is off by 0.05, one that is ten pixels
away of 128 by 0.08."""
_COMPARED: Final = 20.0
"""Seconds of speech that are compared between films."""
_ALIKE: Final = 0.4
"""Correlation of waves. Of 80 recordings no two reach 0.35; one with itself, quiet, late and in noise, has 0.41 or
more, after a codec at 12 to 32 kbit/s 0.87."""
_LATEST: Final = 0.5
"""Seconds by which it may be late: codecs and their padding take a tenth of it."""
_LOG = logging.getLogger(__name__)


def refuse_side_by_side(real: Path, generated: Path) -> None:
    """Raise InputError for a generated film that shows two pictures of the real one's shape: which is meant?"""
    a, b = probe(real), probe(generated)
    if abs((b.width / b.height) / (2 * a.width / a.height) - 1) < _SAME:
        raise InputError(f"{generated}: twice as wide as {real}, as if side by side with it; give the result alone")


def warn_lengths(real: Path, generated: Path) -> None:
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


def warn_other_speech(real: Path, generated: Path) -> None:
    """Warn where two films with sound do not say the same, so that the one is no truth for the other."""
    if not same_sound(read_beginning(real, _COMPARED), read_beginning(generated, _COMPARED)):
        _LOG.warning(
            "%s does not say what %s says, so figures that need the truth are meaningless; add --other-speech",
            *(generated, real),
        )


def require_face(generated: Path, stretches: list[Stretch], detector: FaceMesh) -> None:
    """Look into some frames of `stretches`, where the real film's face is; warn where most of them show no face there.

    Raises InputError where none does.
    """
    seen = [
        _is_there(detector, crop, mesh)
        for piece in pieces(generated, stretches)
        for crop, mesh in zip(piece.crops[::_EVERY], piece.meshes[::_EVERY], strict=True)
    ]
    if seen and not any(seen):
        raise InputError(f"{generated}: no face is visible where the real film has one; are they the same film?")
    if 2 * sum(seen) < len(seen):
        _LOG.warning(
            "%s: %d of %d frames show no face where the real film has one", generated, seen.count(False), len(seen)
        )


def same_sound(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two waves `(n,)` at 16 kHz are one recording, however loud, coded, turned over or up to 0.5 s late.

    Silence counts as the same as anything.
    """
    length = min(len(a), len(b))
    first, second = a[:length].astype(np.float64), b[:length].astype(np.float64)
    norm = float(np.sqrt((first @ first) * (second @ second)))
    if norm < 1e-9:
        return True
    spectrum = np.conj(np.fft.rfft(first, 2 * length)) * np.fft.rfft(second, 2 * length)
    lags = np.abs(np.fft.irfft(spectrum, 2 * length))
    reach = min(round(_LATEST * SAMPLE_RATE), length)
    return bool(max(lags[: reach + 1].max(), lags[-reach:].max()) >= _ALIKE * norm)


def _is_there(detector: FaceMesh, crop: NDArray[np.uint8], mesh: NDArray[np.float32]) -> bool:
    """Whether a crop shows a face at `mesh` `(478, 2)`, crop units."""
    size = len(crop)
    found, score = detector(crop, mesh_square(mesh * np.float32(size)))
    aside = np.linalg.norm(found / size - mesh, axis=1).mean()
    return bool(score >= PRESENT and aside < _ASIDE)
