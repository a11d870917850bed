"""Figures of the landmark generator on prepared clips, and the clips whose sound is off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import read_manifest, with_offset, write_manifest
from lipsmith.evaluation.metrics.landmarks import correlation, inner_opening
from lipsmith.evaluation.trials import Trial, leak_r, load_trials, measure, strangers, total
from lipsmith.inference.speak import (
    RATE,
    Stages,
    grid,
    overlap_average,
    resample,
    run_windows,
    speech_tokens,
    window_starts,
)
from lipsmith.speech.mel import mel_windows

Progress = Callable[[int, int], None]

_REACH: Final = 10
"""Frames by which speech is tried early and late."""
_PER_FRAME: Final = 2
"""Shifts tried in each of them."""
_TRUSTED_R: Final = 0.5
_TRUSTED_GAIN: Final = 0.1
_TRUSTED_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Evaluation:
    """Totals by name, and a row per clip."""

    figures: dict[str, float]
    rows: list[dict[str, object]]


@dataclass(frozen=True)
class Offsets(Evaluation):
    """`seconds`: by clip, how much later than now its speech should be read."""

    seconds: dict[str, float] = field(default_factory=dict)


def evaluate(stages: Stages, root: Path, split: str, window: int, references: int, progress: Progress) -> Evaluation:
    """Figures over the identities of a split: strict for clips of 2 s or more; with `short.` for the others, whole.

    `opening_r` is with the clip's own speech, `leak_r` with that of others: see `lipsmith.evaluation.trials.leak_r`.
    """
    trials = load_trials(root, split, references)
    rows: list[dict[str, float]] = []
    for index, trial in enumerate(trials):
        leak = leak_r(stages, trial, strangers(trials, trial.record.identity), window)
        rows.append(measure(stages, trial, window) | {"leak_r": leak})
        progress(index + 1, len(trials))
    figures: dict[str, float] = {}
    for strict, prefix in ((True, ""), (False, "short.")):
        chosen = [(row, trial) for row, trial in zip(rows, trials, strict=True) if trial.strict == strict]
        if chosen:
            totals = total([row for row, _ in chosen], [trial.record.identity for _, trial in chosen])
            totals |= {"clips": len(chosen), "frames": sum(int(trial.counted.sum()) for _, trial in chosen)}
            figures |= {prefix + name: value for name, value in totals.items()}
    named = [_named(trial) | row for trial, row in zip(trials, rows, strict=True)]
    return Evaluation(figures, named)


def find_offsets(stages: Stages, root: Path, split: str, window: int, references: int, progress: Progress) -> Offsets:
    """By how much each clip's speech lags its picture, beyond what the manifest already corrects.

    Sought from -10 to 10 frames in half frames, where predicted and true opening agree best. A clip's own optimum
    counts where the clip is long and the optimum clear; else that of all clips of its identity together, and no
    shift where that hardly gains.

    Figures, of clips that are long enough to be cut in two: `opening_r` as is, and with `shifted.` after correction by
    a shift that was found on the first half of each clip alone, so that r on the second half is not the best of 41 by
    choice. The `seconds` themselves are found on whole clips.
    """
    trials = load_trials(root, split, references)
    found = []
    for done, trial in enumerate(trials, 1):
        found.append(agreement(stages, trial, window))
        progress(done, len(trials))
    chosen = choose_shifts(trials, [agreed.whole for agreed in found])
    blind = choose_shifts(trials, [agreed.before for agreed in found])
    rows: list[dict[str, object]] = []
    zero = _REACH * _PER_FRAME
    for trial, agreed, index, other in zip(trials, found, chosen, blind, strict=True):
        figures = {"opening_r": float(agreed.counted[zero]), "shifted.opening_r": float(agreed.counted[other])}
        rows.append(_named(trial) | figures | {"offset": shift_seconds(index)})
    names = ("opening_r", "shifted.opening_r")
    judged = [row for row in rows if row["strict"]] or rows
    identities = [str(row["identity"]) for row in judged]
    figures = total([{name: float(row[name]) for name in names} for row in judged], identities)  # type: ignore[arg-type]
    figures |= {"clips": len(rows), "moved": sum(index != zero for index in chosen)}
    seconds = {trial.record.clip: shift_seconds(index) for trial, index in zip(trials, chosen, strict=True)}
    return Offsets(figures, rows, seconds)


def write_offsets(root: Path, seconds: Mapping[str, float]) -> None:
    """Add to the offset of each clip in the manifest of `root`."""
    records = read_manifest(root)
    moved = [with_offset(record, round(record.offset + seconds.get(record.clip, 0.0), 4)) for record in records]
    write_manifest(root, moved)


@dataclass(frozen=True)
class Agreement:
    """Correlations `(41,)` of predicted and true opening with the speech read from -10 to 10 frames later."""

    whole: NDArray[np.float64]
    """Over all frames."""
    before: NDArray[np.float64]
    """Over the frames before those that count; over all where all count."""
    counted: NDArray[np.float64]
    """Over the frames that count."""


def agreement(stages: Stages, trial: Trial, window: int) -> Agreement:
    """How well a trial's speech agrees with its picture at each shift."""
    ticks = grid(trial.times)
    length = min(window, len(ticks))
    starts = window_starts(len(ticks), length)
    shifts = np.arange(2 * _REACH * _PER_FRAME + 1)
    fine = ticks[0] + (np.arange(len(ticks) * _PER_FRAME + len(shifts)) - _REACH * _PER_FRAME) / (RATE * _PER_FRAME)
    tokens = speech_tokens(stages, mel_windows(trial.mel, fine))
    index = starts[:, None] + np.arange(length)
    heard = tokens[(shifts[:, None, None] + _PER_FRAME * index).reshape(-1, length)]
    pose = np.tile(resample(trial.pose, trial.times, ticks)[index], (len(shifts), 1, 1, 1))
    pieces = run_windows(stages, heard, pose, trial.references).reshape(len(shifts), len(starts), length, -1, 2)
    openings = [
        inner_opening(resample(overlap_average(piece, starts, len(ticks)), ticks, trial.times)) for piece in pieces
    ]
    truth = inner_opening(trial.truth)

    def curve(frames: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.array([correlation(opening[frames], truth[frames]) for opening in openings])

    whole = np.ones(len(truth), np.bool_)
    before = np.arange(len(truth)) < trial.counted.argmax() if trial.strict else whole
    return Agreement(curve(whole), curve(before), curve(trial.counted))


def choose_shifts(trials: list[Trial], curves: list[NDArray[np.float64]]) -> list[int]:
    """For each clip the index of its shift among the 41 of `agreement`."""
    together: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros_like(curves[0]))
    frames: dict[str, int] = defaultdict(int)
    for trial, curve in zip(trials, curves, strict=True):
        together[trial.record.identity] += trial.record.frames * curve
        frames[trial.record.identity] += trial.record.frames
    common = {name: _clear_best(curve / frames[name], _TRUSTED_GAIN / 2) for name, curve in together.items()}
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


def _clear_best(curve: NDArray[np.float64], gain: float) -> int:
    best, zero = int(curve.argmax()), _REACH * _PER_FRAME
    return best if curve[best] - curve[zero] >= gain else zero


def _named(trial: Trial) -> dict[str, object]:
    record = trial.record
    return {"clip": record.clip, "identity": record.identity, "seconds": record.seconds, "strict": trial.strict}
