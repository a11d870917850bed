"""Checks whether a film can be compared with the real one, and raises errors or logs warnings."""

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
"""Relative difference up to which aspect ratios and rates count as equal."""
_SPARE: Final = 5
"""Difference in frames without a warning: encoders drop and repeat a few frames at the ends."""
_EVERY: Final = 5
_ASIDE: Final = 0.06
"""Largest mean distance of the meshes, crop units. Another person's face in the same place is at 0.05, a face displaced
by ten pixels of 128 at 0.08."""
_COMPARED: Final = 20.0
"""Seconds of speech to compare."""
_ALIKE: Final = 0.4
"""Minimum correlation of the waveforms. No two of 80 different recordings reach 0.35; a recording with a quiet, delayed
and noisy copy has 0.41 or more, and 0.87 after a codec at 12 to 32 kbit/s."""
_LATEST: Final = 0.5
"""Largest delay in seconds; codecs and their padding cause a tenth of it."""
_LOG = logging.getLogger(__name__)


def refuse_side_by_side(real: Path, generated: Path) -> None:
    """Raise InputError for a generated film that is two pictures of the real one's aspect ratio side by side."""
    a, b = probe(real), probe(generated)
    if abs((b.width / b.height) / (2 * a.width / a.height) - 1) < _SAME:
        raise InputError(
            f"{generated} is twice as wide as {real}, like a side-by-side comparison; give the result alone"
        )


def warn_lengths(real: Path, generated: Path) -> None:
    """Warn if frames of the same number may be from different times."""
    a, b = probe(real), probe(generated)
    if a.frames is not None and b.frames is not None and abs(a.frames - b.frames) > _SPARE:
        _LOG.warning(
            "%s has %d frames and %s has %d; only the common part is measured", real, a.frames, generated, b.frames
        )
    if abs(a.rate / b.rate - 1) > _SAME:
        rates = float(a.rate), float(b.rate)
        _LOG.warning(
            "%s has %.4g frames a second and %s has %.4g; frames matched by number are from different times "
            "unless every frame of one film became one frame of the other",
            *(real, rates[0], generated, rates[1]),
        )


def warn_other_speech(real: Path, generated: Path) -> None:
    """Warn if two films with sound say different words, so that one is not the ground truth of the other."""
    if not same_sound(read_beginning(real, _COMPARED), read_beginning(generated, _COMPARED)):
        _LOG.warning(
            "%s does not say the same as %s, so figures that need ground truth are meaningless; add --other-speech",
            *(generated, real),
        )


def require_face(generated: Path, stretches: list[Stretch], detector: FaceMesh) -> None:
    """Check some frames of `stretches`, at the real film's face; warn if most of them show no face there.

    Raises InputError if none does.
    """
    seen = [
        _is_there(detector, crop, mesh)
        for piece in pieces(generated, stretches)
        for crop, mesh in zip(piece.crops[::_EVERY], piece.meshes[::_EVERY], strict=True)
    ]
    if seen and not any(seen):
        raise InputError(
            f"{generated}: no face is visible where the real film has one; check that they are the same film"
        )
    if 2 * sum(seen) < len(seen):
        _LOG.warning(
            "%s: %d of %d frames show no face where the real film has one", generated, seen.count(False), len(seen)
        )


def same_sound(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two waveforms `(n,)` at 16 kHz are the same recording, regardless of level, codec, polarity, or a delay
    up to 0.5 s.

    Silence matches any recording.
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
