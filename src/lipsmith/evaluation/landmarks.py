"""Evaluates self-reconstruction of landmarks on prepared clips, by the generator and by baselines.

The protocol is strict (`lipsmith.evaluation.protocols`); clips too short for it are measured as a whole, separately.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord, PreparedClip, load_clip, read_manifest
from lipsmith.evaluation.metrics.closure import closures, events, pooled
from lipsmith.evaluation.metrics.landmarks import inner_opening, landmark_figures, opening_r
from lipsmith.evaluation.protocols import FrameChoice, strict_frames
from lipsmith.face.landmarks import mouth_width, outer_lip_opening, split
from lipsmith.face.references import choose_landmarks
from lipsmith.inference.backend import Backend
from lipsmith.inference.speak import predict_content
from lipsmith.progress import Progress
from lipsmith.speech.mel import MEL_LIMIT
from lipsmith.speech.phonemes import Phonemes

_FEWEST: Final = 3
"""Least number of references that are all shut, where a tenth is fewer."""


@dataclass(frozen=True)
class Trial:
    """One clip: inputs of the generator for all frames, and the frames to measure."""

    record: ClipRecord
    mel: NDArray[np.float32]
    """(80, steps)."""
    times: NDArray[np.float64]
    """(F,)."""
    pose: NDArray[np.float32]
    """(F, 74, 2)."""
    truth: NDArray[np.float32]
    """(F, 57, 2)."""
    references: NDArray[np.float32]
    """(N, 131, 2)."""
    counted: NDArray[np.bool_]
    """(F,)."""
    strict: bool
    """Whether references and counted frames are separate; a clip too short for that is used as a whole."""
    smile: NDArray[np.float32]
    """(1, 131, 2), the frame with the widest mouth among the allowed references."""
    shut: NDArray[np.float32]
    """(N, 131, 2), of the most closed tenth of the allowed references, as in a shot whose person is silent."""
    phonemes: Phonemes | None
    """The phonemes and their times; None if unknown."""

    @property
    def about(self) -> dict[str, object]:
        """The columns of a row that identify the clip."""
        record = self.record
        return {"clip": record.clip, "identity": record.identity, "seconds": record.seconds, "strict": self.strict}


class TrainedGenerator(NamedTuple):
    """A landmark generator, and what it was trained for."""

    stages: Backend
    """`speech` and `landmarks`."""
    window: int
    """Frames per window."""
    references: int
    """Number of reference landmark sets."""


@dataclass(frozen=True)
class LandmarkEvaluation:
    """Totals by name, and a row per clip."""

    figures: dict[str, float]
    rows: list[dict[str, object]]


def evaluate(
    generator: TrainedGenerator,
    root: Path,
    split: str,
    progress: Progress,
    phonemes: Mapping[str, Phonemes] = MappingProxyType({}),
) -> LandmarkEvaluation:
    """Figures over the identities of a split: strict for clips of 2 s or more; shorter clips, as a whole, get the
    prefix `short.`.

    `opening_r` uses the clip's own speech, `leak_r` the speech of others (see `leak_r`). Closures
    (`lipsmith.evaluation.metrics.closure`) come from `phonemes` by clip, pooled over all phonemes of the split.
    """
    stages, window, references = generator
    trials = list(load_trials(root, split, references, phonemes))
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
            totals |= pooled([row for row, _ in chosen])
            totals |= {"clips": len(chosen), "frames": sum(int(trial.counted.sum()) for _, trial in chosen)}
            figures |= {prefix + name: value for name, value in totals.items()}
    named = [trial.about | row for trial, row in zip(trials, rows, strict=True)]
    return LandmarkEvaluation(figures, named)


def load_trials(
    root: Path, split_name: str, references: int, phonemes: Mapping[str, Phonemes] = MappingProxyType({})
) -> Iterator[Trial]:
    """A trial for every clip of the split in which a face was detected, one by one."""
    for record in read_manifest(root, split_name):
        trial = make_trial(load_clip(root, record, images=False), references, phonemes.get(record.clip))
        if trial.counted.any():
            yield trial


def make_trial(
    clip: PreparedClip, references: int, phonemes: Phonemes | None = None, chosen: FrameChoice | None = None
) -> Trial:
    """A trial of the clip with `references` reference landmark sets; `chosen`: None for the strict protocol."""
    pose, content = split(clip.landmarks)
    chosen = chosen or strict_frames(clip)
    everything = np.arange(len(clip.times))
    allowed = chosen.allowed if chosen else np.flatnonzero(clip.tracked)
    known = clip.landmarks[allowed if len(allowed) else everything]
    closed = known[np.argsort(outer_lip_opening(known))[: max(_FEWEST, len(known) // 10)]]
    return Trial(
        record=clip.record,
        mel=clip.mel,
        times=clip.times,
        pose=pose.astype(np.float32),
        truth=content.astype(np.float32),
        references=known[choose_landmarks(known, references)].astype(np.float32),
        counted=clip.tracked & np.isin(everything, chosen.targets if chosen else everything),
        strict=chosen is not None,
        smile=known[[mouth_width(known).argmax()]].astype(np.float32),
        shut=closed[choose_landmarks(closed, references)].astype(np.float32),
        phonemes=phonemes,
    )


def measure(backend: Backend, trial: Trial, window: int, *, scarce: bool = True) -> dict[str, float]:
    """Figures of one trial: the generator's, and the baselines' with prefixes `mean.` and `nearest.`; openings in
    percent.

    With `scarce`, also the generator's figures with `Trial.smile` as the only reference (prefix `smile.`) and with
    `Trial.shut` (`shut.`), and openings in silence.
    """
    given = {"": trial.references} | ({"smile.": trial.smile, "shut.": trial.shut} if scarce else {})
    predicted = {
        prefix: predict_content(backend, trial.mel, trial.times, trial.pose, shapes, window)
        for prefix, shapes in given.items()
    }
    figures = _closures(trial, predicted)
    for prefix, content in predicted.items():
        figures |= {prefix + key: value for key, value in _counted_figures(trial, content).items()}
    for name, baseline in baselines(trial).items():
        figures |= {f"{name}.{key}": value for key, value in _counted_figures(trial, baseline).items()}
    if scarce:
        hush = np.full_like(trial.mel, -MEL_LIMIT)
        quiet = predict_content(backend, hush, trial.times, trial.pose, trial.references, window)
        shapes = split(trial.references)[1]
        figures["silence_opening"] = 100 * float(inner_opening(quiet).mean())
        figures["least.silence_opening"] = 100 * float(inner_opening(shapes).min())
        figures["mean.silence_opening"] = 100 * float(inner_opening(shapes.mean(0, keepdims=True)).mean())
        figures["truth.opening"] = 100 * float(inner_opening(trial.truth).mean())
    return figures


def leak_r(backend: Backend, trial: Trial, speeches: Sequence[NDArray[np.float32]], window: int) -> float:
    """Correlation of the true opening with predictions from the trial's pose and other `speeches`; 0 is ideal.

    Speech of another clip agrees with the mouth only by chance, so a correlation in the mean over all trials comes from
    the pose: the trace of the original words that a dub would keep. `speeches`: mels `(80, steps)`, repeated if too
    short. NaN without speeches.
    """
    if not speeches:
        return float("nan")
    return float(np.mean([_r_with(backend, trial, speech, window) for speech in speeches]))


def _r_with(backend: Backend, trial: Trial, speech: NDArray[np.float32], window: int) -> float:
    mel = speech[:, np.arange(trial.mel.shape[1]) % speech.shape[1]]
    content = predict_content(backend, mel, trial.times, trial.pose, trial.references, window)
    return opening_r(content[trial.counted], trial.truth[trial.counted])


def strangers(trials: Sequence[Trial], identity: str) -> list[NDArray[np.float32]]:
    """A mel of every other identity: of its longest trial, or the first of these by name, independent of their order.

    All other identities are used, because the chance agreement of a single speech exceeds the leak.
    """
    ranked = sorted(trials, key=lambda trial: (-trial.record.frames, trial.record.clip))
    longest: dict[str, NDArray[np.float32]] = {}
    for trial in ranked:
        longest.setdefault(trial.record.identity, trial.mel)
    return [mel for other, mel in longest.items() if other != identity]


def baselines(trial: Trial) -> dict[str, NDArray[np.float32]]:
    """Content `(F, 57, 2)` without speech: the references' mean, and the reference nearest in pose."""
    pose, content = split(trial.references)
    distance = np.square(trial.pose[:, None] - pose[None]).sum((2, 3))
    mean = np.repeat(content.mean(0, keepdims=True), len(trial.pose), axis=0)
    return {"mean": mean, "nearest": content[distance.argmin(1)]}


def total(rows: Iterable[Mapping[str, float]], identities: Sequence[str]) -> dict[str, float]:
    """Mean of every figure over identities, with the mean over clips for each identity; NaN counts as not measured."""
    by_identity: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row, identity in zip(rows, identities, strict=True):
        for name, value in row.items():
            if np.isfinite(value):
                by_identity[identity][name].append(value)
    names = {name for figures in by_identity.values() for name in figures}
    return {
        name: float(np.mean([np.mean(figures[name]) for figures in by_identity.values() if name in figures]))
        for name in sorted(names)
    }


def _counted_figures(trial: Trial, content: NDArray[np.float32]) -> dict[str, float]:
    return landmark_figures(content[trial.counted], trial.truth[trial.counted])


def _closures(trial: Trial, predicted: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    if trial.phonemes is None:
        return {}
    figures = events(trial.times, trial.counted, trial.phonemes)
    for prefix, mouth in (predicted | {"truth.": trial.truth}).items():
        shares = closures(mouth, trial.times, trial.counted, trial.phonemes)
        figures |= {prefix + name: share for name, share in shares.items()}
    return figures
