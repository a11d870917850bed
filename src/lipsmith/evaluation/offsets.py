"""Estimates audio-video offsets: of a film by the lip-sync judge, of prepared clips by the judge or by landmarks."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import load_clip, read_manifest, write_manifest
from lipsmith.errors import InputError
from lipsmith.evaluation.films import Film, find_face, pieces, read_beginning
from lipsmith.evaluation.landmarks import TrainedGenerator, Trial, load_trials, total
from lipsmith.evaluation.metrics.judge import FPS, SpeechTrack, SyncJudge
from lipsmith.evaluation.metrics.landmarks import correlation, inner_opening
from lipsmith.evaluation.metrics.lse import REACH, SyncFigures, estimate_lags, sync_accuracy, sync_figures
from lipsmith.inference.backend import Backend
from lipsmith.inference.speak import (
    RATE,
    grid,
    overlap_average,
    resample,
    run_windows,
    speech_tokens,
    window_starts,
)
from lipsmith.progress import Progress
from lipsmith.speech.mel import empty_sound, mel_spectrogram, mel_windows

_LOG = logging.getLogger(__name__)

FILM_SECONDS: Final = 120.0
"""Seconds of a film that suffice to estimate its offset."""
_BEYOND: Final = REACH / FPS + 0.5
"""Seconds of sound needed after the last picture: the largest shift, and a margin for the window around it."""
_REACH: Final = 10
"""Largest shift in either direction, in frames, in the search by landmarks."""
_PER_FRAME: Final = 2
"""Shifts tried per frame."""
_TRUSTED_R: Final = 0.5
_TRUSTED_GAIN: Final = 0.1
_TRUSTED_SECONDS: Final = 2.0


@dataclass(frozen=True)
class FilmOffset:
    """The offset of one film."""

    frames: int
    """Frames at 25 fps by which the speech lags the picture."""
    figures: SyncFigures
    """LSE-D, LSE-C (the margin of the best shift) and the whole curve."""
    windows: int
    """Number of compared windows."""

    @property
    def seconds(self) -> float:
        """The offset in seconds; positive means that the speech is late."""
        return self.frames / FPS


@dataclass(frozen=True)
class ClipOffsets:
    """The offsets of prepared clips."""

    seconds: dict[str, float]
    """Delay of the speech by clip, in addition to the offset stored in the manifest."""
    figures: dict[str, float]
    """Totals by name."""
    rows: list[dict[str, object]]
    """One per clip."""


def find_film_offset(video: Path, judge: SyncJudge, seconds: float = FILM_SECONDS) -> FilmOffset:
    """Offset of the first `seconds` of a film with one face, from the part of them that has sound.

    Raises InputError if no face or no speech is found.
    """
    wave = read_beginning(video, seconds + _BEYOND)
    if not wave.size:
        raise empty_sound(video)
    sound = SpeechTrack(mel_spectrogram(wave), wave)
    film = Film(video)
    distances = [judge.distances(piece.crops, piece.times, sound) for piece in pieces(film, find_face(film, seconds))]
    joined = np.concatenate(distances)
    joined = joined[np.isfinite(joined[:, REACH])]
    if not len(joined):
        raise InputError(f"{video}: picture and sound do not overlap; give a film that is longer than half a second.")
    figures = sync_figures(joined)
    if abs(figures.offset) == REACH:
        _LOG.warning(
            "%s: the offset found, %d frames, is the largest of the search, so the true one may be larger; shift the "
            "sound by it and measure again.", video, figures.offset,
        )  # fmt: skip
    return FilmOffset(figures.offset, figures, len(joined))


def find_judged_offsets(
    root: Path, judge: SyncJudge, split: str | None = None, progress: Progress | None = None
) -> ClipOffsets:
    """Offsets of prepared clips at which the judge measures the smallest distance.

    Estimates of short clips also use the other clips of their identity. Figures: `clips`, `out_of_sync` (by over 0.05
    s), and `sync_accuracy` at the stored offsets.
    """
    records = read_manifest(root, *filter(None, [split]))
    found: list[NDArray[np.float32]] = []
    for number, record in enumerate(records):
        clip = load_clip(root, record)
        assert clip.images is not None
        found.append(judge.distances(clip.images, clip.times, SpeechTrack(clip.mel)))
        if progress:
            progress(number + 1, len(records))
    identities = np.unique([record.identity for record in records], return_inverse=True)[1]
    lags: list[float] = (estimate_lags(found, identities) / FPS).tolist()
    figures = {
        "clips": len(records),
        "out_of_sync": sum(abs(lag) > 0.05 for lag in lags),
        "sync_accuracy": sync_accuracy(found),
    }
    rows: list[dict[str, object]] = [
        {"clip": record.clip, "lag_seconds": lag, "offset_seconds": round(record.offset + lag, 4)}
        for record, lag in zip(records, lags, strict=True)
    ]
    return ClipOffsets({record.clip: lag for record, lag in zip(records, lags, strict=True)}, figures, rows)


def find_landmark_offsets(generator: TrainedGenerator, root: Path, split: str, progress: Progress) -> ClipOffsets:
    """Offsets of prepared clips at which the predicted lip opening agrees best with the true one.

    Shifts from -10 to 10 frames are tried in steps of half a frame. A clip's own optimum is used if the clip is long
    and the optimum clear; otherwise the optimum of all clips of its identity, or no shift if that gains little.

    Figures, for clips long enough to split: `opening_r`, and `shifted.opening_r` after correction by a shift estimated
    on the first half of each clip only, so that r on the second half is not the maximum of 41 values. The `seconds` are
    estimated on whole clips.
    """
    trials = list(load_trials(root, split, generator.references))
    found = []
    for done, trial in enumerate(trials, 1):
        found.append(opening_agreement(generator.stages, trial, generator.window))
        progress(done, len(trials))
    chosen = choose_shifts(trials, [agreed.whole for agreed in found])
    blind = choose_shifts(trials, [agreed.before for agreed in found])
    zero = _REACH * _PER_FRAME
    rs = [
        {"opening_r": float(agreed.counted[zero]), "shifted.opening_r": float(agreed.counted[index])}
        for agreed, index in zip(found, blind, strict=True)
    ]
    rows = [
        trial.about | r | {"offset": shift_seconds(index)} for trial, r, index in zip(trials, rs, chosen, strict=True)
    ]
    counted = [place for place, trial in enumerate(trials) if trial.strict] or range(len(trials))
    figures = total([rs[place] for place in counted], [trials[place].record.identity for place in counted])
    figures |= {"clips": len(rows), "moved": sum(index != zero for index in chosen)}
    seconds = {trial.record.clip: shift_seconds(index) for trial, index in zip(trials, chosen, strict=True)}
    return ClipOffsets(seconds, figures, rows)


def note_offsets(root: Path, seconds: Mapping[str, float]) -> None:
    """Add `seconds`, by clip, to the offsets in the manifest of `root`; loading a clip corrects for them."""
    records = read_manifest(root)
    moved = [replace(record, offset=round(record.offset + seconds.get(record.clip, 0.0), 4)) for record in records]
    write_manifest(root, moved)


@dataclass(frozen=True)
class OpeningAgreement:
    """Correlations `(41,)` of predicted and true opening, with the speech read -10 to 10 frames later."""

    whole: NDArray[np.float64]
    """Over all frames."""
    before: NDArray[np.float64]
    """Over the frames before the counted ones; over all frames if all are counted."""
    counted: NDArray[np.float64]
    """Over the counted frames."""


def opening_agreement(stages: Backend, trial: Trial, window: int) -> OpeningAgreement:
    """Agreement of a trial's speech with its picture at each shift."""
    ticks = grid(trial.times)
    length = min(window, len(ticks))
    starts = window_starts(len(ticks), length)
    shifts = np.arange(2 * _REACH * _PER_FRAME + 1)
    fine = ticks[0] + (np.arange(len(ticks) * _PER_FRAME + len(shifts)) - _REACH * _PER_FRAME) / (RATE * _PER_FRAME)
    tokens = speech_tokens(stages, mel_windows(trial.mel, fine))
    index = starts[:, None] + np.arange(length)
    spoken = tokens[(shifts[:, None, None] + _PER_FRAME * index).reshape(-1, length)]
    pose = np.tile(resample(trial.pose, trial.times, ticks)[index], (len(shifts), 1, 1, 1))
    pieces = run_windows(stages, spoken, pose, trial.references).reshape(len(shifts), len(starts), length, -1, 2)
    openings = [
        inner_opening(resample(overlap_average(piece, starts, len(ticks)), ticks, trial.times)) for piece in pieces
    ]
    truth = inner_opening(trial.truth)

    def curve(frames: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.array([correlation(opening[frames], truth[frames]) for opening in openings])

    whole = np.ones(len(truth), np.bool_)
    before = np.arange(len(truth)) < trial.counted.argmax() if trial.strict else whole
    return OpeningAgreement(curve(whole), curve(before), curve(trial.counted))


def choose_shifts(trials: list[Trial], curves: list[NDArray[np.float64]]) -> list[int]:
    """For each clip, the index of its shift among the 41 of `opening_agreement`."""
    together: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros_like(curves[0]))
    frames: dict[str, int] = defaultdict(int)
    for trial, curve in zip(trials, curves, strict=True):
        together[trial.record.identity] += trial.record.frames * curve
        frames[trial.record.identity] += trial.record.frames
    common = {name: _clear_best(curve / frames[name]) for name, curve in together.items()}
    return [
        _own_or_common(trial, curve, common[trial.record.identity]) for trial, curve in zip(trials, curves, strict=True)
    ]


def shift_seconds(index: int) -> float:
    """Seconds of the shift at `index`."""
    return (index - _REACH * _PER_FRAME) / (RATE * _PER_FRAME)


def _own_or_common(trial: Trial, curve: NDArray[np.float64], common: int) -> int:
    best = int(curve.argmax())
    clear = curve[best] >= _TRUSTED_R and curve[best] - curve[common] >= _TRUSTED_GAIN
    return best if clear and trial.record.seconds >= _TRUSTED_SECONDS else common


def _clear_best(curve: NDArray[np.float64]) -> int:
    """The best shift of an identity's mean curve, or none if that gains little."""
    best, zero = int(curve.argmax()), _REACH * _PER_FRAME
    return best if curve[best] - curve[zero] >= _TRUSTED_GAIN / 2 else zero
