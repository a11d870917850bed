"""How far a film's sound is from its picture: the shift at which the lip-sync judge likes it best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord, load_clip, read_manifest, with_offset, write_manifest
from lipsmith.errors import InputError
from lipsmith.evaluation.films import find_face, pieces
from lipsmith.evaluation.metrics.judge import FPS, Judge, Sound
from lipsmith.evaluation.metrics.lse import REACH, SyncFigures, estimate_lags, sync_figures, told_apart
from lipsmith.evaluation.sound import opening
from lipsmith.speech.mel import mel_spectrogram

Progress = Callable[[int, int], None]

ENOUGH: Final = 120.0
"""Seconds of film that tell an offset well."""
_BEYOND: Final = REACH / FPS + 0.5
"""Seconds of sound after the last picture that are compared with it, and some to spare for the window round each."""


@dataclass(frozen=True)
class Offset:
    """What was found."""

    frames: int
    """Frames at 25 fps by which the speech lags the picture."""
    confidence: float
    """How much the best shift stands out (LSE-C of the judge)."""
    figures: SyncFigures
    """The whole curve."""
    windows: int
    """Moments that were judged."""

    @property
    def seconds(self) -> float:
        """Positive: the speech comes too late."""
        return self.frames / FPS


def find_offset(video: Path, judge: Judge, seconds: float = ENOUGH) -> Offset:
    """Offset of the first `seconds` of a film with one face. Raises InputError where no face or no speech is found."""
    wave = opening(video, seconds + _BEYOND)
    sound = Sound(mel_spectrogram(wave), wave)
    distances = [judge.distances(piece.crops, piece.times, sound) for piece in pieces(video, find_face(video, seconds))]
    joined = np.concatenate(distances)
    if not np.isfinite(joined).any():
        raise InputError(f"{video}: picture and sound do not overlap; give a film that is longer than half a second")
    figures = sync_figures(joined)
    return Offset(figures.offset, figures.lse_c, figures, len(joined))


@dataclass(frozen=True)
class Offsets:
    """What was found of the clips of a prepared folder."""

    records: list[ClipRecord]
    """The clips' records with the offsets that the judge hears: what was noted, and what it hears beyond that."""
    lags: list[float]
    """Seconds by which each clip's speech is late as the manifest has it."""
    told_apart: float
    """Share of comparisons in which a 1 s window is nearer in sync, as the manifest has it, than shifted by 3 to 10
    frames."""


def find_offsets(root: Path, judge: Judge, split: str | None = None, progress: Progress | None = None) -> Offsets:
    """Offsets of prepared clips as the judge hears them; short clips lean on the others of their identity.

    They are sought round those that the manifest already notes.
    """
    records = read_manifest(root, split)
    found: list[NDArray[np.float32]] = []
    for number, record in enumerate(records):
        clip = load_clip(root, record)
        assert clip.images is not None
        found.append(judge.distances(clip.images, clip.times, Sound(clip.mel)))
        if progress:
            progress(number + 1, len(records))
    identities = np.unique([record.identity for record in records], return_inverse=True)[1]
    lags = (estimate_lags(found, identities) / FPS).tolist()
    nearer, comparisons = np.sum([told_apart(distances) for distances in found], axis=0)
    heard = [with_offset(record, round(record.offset + lag, 4)) for record, lag in zip(records, lags, strict=True)]
    return Offsets(heard, lags, float(nearer) / max(1, int(comparisons)))


def note_offsets(root: Path, found: list[ClipRecord]) -> None:
    """Write the offsets into the manifest, by which loading a clip is corrected from now on."""
    known = {record.clip: record for record in found}
    write_manifest(root, [known.get(record.clip, record) for record in read_manifest(root)])
