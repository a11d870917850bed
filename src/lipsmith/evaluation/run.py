"""The evaluation itself: clip after clip, every system, every metric."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord, PreparedClip, load_clip, load_mesh, prepared_side, read_manifest
from lipsmith.errors import InputError, UsageError
from lipsmith.evaluation.metrics.articulation import closeness
from lipsmith.evaluation.metrics.judge import SpeechTrack
from lipsmith.evaluation.metrics.obedience import OBEDIENCE
from lipsmith.evaluation.model_system import ModelSystem, resized
from lipsmith.evaluation.outputs import Outputs
from lipsmith.evaluation.protocols import MIN_STRICT_SECONDS, FrameChoice, Protocol, choose_frames, shown_frames
from lipsmith.evaluation.run_systems import RunSystem
from lipsmith.evaluation.scoring import RealStretch, Scorer, Watcher
from lipsmith.evaluation.systems import ADAPTED, REAL, ReconstructionTask, System
from lipsmith.evaluation.totals import Row, intervals, totals
from lipsmith.face.crop import still_points
from lipsmith.progress import Progress
from lipsmith.speech.mel import mel_windows
from lipsmith.speech.phonemes import Phonemes

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Results: rows per clip and system, totals and 95 % intervals by system and metric."""

    rows: list[Row]
    totals: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]


def long_clips(data: Path, splits: Sequence[str], shortest: float) -> list[ClipRecord]:
    """The clips of some splits that last `shortest` seconds. Raises InputError if there are none."""
    records = [record for record in read_manifest(data, *splits) if record.seconds >= shortest]
    if not records:
        raise InputError(f"{data}: no clip of {' and '.join(splits)} lasts {shortest:g} s; prepare longer footage.")
    return records


@dataclass(frozen=True)
class Plan:
    """What to evaluate."""

    data: Path
    """Prepared clips."""
    splits: Sequence[str]
    """Whose people are measured, all together."""
    protocol: Protocol
    """See `lipsmith.evaluation.protocols`."""
    landmarks: Literal["true", "predicted"]
    """Source of the lips and jaw that the pictures should have."""
    speaker: ModelSystem | None
    """Predicts lips and jaw; needed for `predicted` and for `cross`."""
    side: int | None = None
    """Pixels to which crops are shrunk; None for the side at which they were prepared."""
    phonemes: Mapping[str, Phonemes] = field(default_factory=dict)
    """What is said in the clips, by clip, for closures."""
    shortest: float = MIN_STRICT_SECONDS
    """Minimum seconds of the clips."""
    shown: Mapping[str, int] | None = None
    """How many frames of each clip the films of other systems show; other clips are left out. None: no such films."""

    def __post_init__(self) -> None:
        if self.predicts and self.speaker is None:
            raise UsageError(
                "Predicted landmarks and the cross-driven protocol need a model that predicts landmarks, which a run "
                "of `train renderer` does not: give the name or folder of an exported model."
            )

    @property
    def predicts(self) -> bool:
        """Whether landmarks come from the speech."""
        return self.landmarks == "predicted" or self.protocol == "cross"

    def records(self) -> list[ClipRecord]:
        """The clips to measure. Raises InputError if no prepared clip of the splits is long enough."""
        records = long_clips(self.data, self.splits, self.shortest)
        return records if self.shown is None else [record for record in records if record.clip in self.shown]


def check_sides(plan: Plan, systems: Sequence[System]) -> None:
    """Raise UsageError if the clips are smaller than the plan's side, or that is smaller than the crops of a model."""
    prepared = prepared_side(plan.data, plan.records()[0])
    side = plan.side or prepared
    if side > prepared:
        raise UsageError(
            f"The clips are {prepared} pixels wide: give a side of {prepared} or less, or prepare the footage with "
            f"one of {side}."
        )
    for system in systems:
        if isinstance(system, ModelSystem | RunSystem) and side < system.size:
            remedy = "give" if system.size <= prepared else "prepare the footage with"
            raise UsageError(
                f"The clips are measured at {side} pixels, but the model {system.name} needs {system.size}; {remedy} "
                f"a side of {system.size} or more."
            )


def evaluate(
    plan: Plan,
    systems: Sequence[System],
    scorer: Scorer,
    *,
    progress: Progress | None = None,
    watch: Watcher | None = None,
) -> Evaluation:
    """Measure `systems` on every clip of the plan that is long enough, one clip in memory at a time.

    `watch` receives each clip's real and generated crops. A clip that is damaged, or whose film in a folder of films
    cannot be measured, is left out, with a warning: hours of other clips must not be lost. Raises InputError where no
    clip is long enough, or the first error if all are left out, and UsageError for sides that do not fit, see
    `check_sides`.
    """
    records = plan.records()
    check_sides(plan, systems)
    rows: list[Row] = []
    problem: InputError | None = None
    for number, record in enumerate(records):
        try:
            if asked := _asked(plan, records, record):
                rows += _rows(record, *asked, systems, scorer, watch)
        except InputError as error:
            problem = problem or error
            _LOG.warning("%s is left out for all systems: %s", record.clip, error)
        if progress:
            progress(number + 1, len(records))
    if not rows and problem:
        raise problem
    if not rows:
        raise InputError(
            f"{plan.data}: no clip of {' and '.join(plan.splits)} shows a face in enough frames; prepare other footage."
        )
    return summary(rows, [REAL, *(system.name for system in systems)], scorer)


def _rows(
    record: ClipRecord,
    shown: RealStretch,
    task: ReconstructionTask,
    systems: Sequence[System],
    scorer: Scorer,
    watch: Watcher | None,
) -> list[Row]:
    outputs, speeds = _outputs(systems, task)
    # The landmarks of films are unknown, and an adapted model predicts its own.
    unasked = {system.name for system in systems if isinstance(system, Outputs)} | (
        {ADAPTED} if task.predicted else set()
    )
    rows: list[Row] = []
    for name, row in scorer.score(shown, outputs).items():
        kept = _without_obedience(row) if name in unasked else row
        speed = {"fps": speeds[name]} if name in speeds else {}
        rows.append({"clip": record.clip, "identity": record.identity, "system": name, **kept, **speed})
    if watch:
        watch(record.clip, shown.crops, outputs, shown.is_truth)
    return rows


def _without_obedience(row: Row) -> Row:
    return {figure: value for figure, value in row.items() if not figure.startswith(OBEDIENCE)}


def summary(rows: list[Row], names: Sequence[str], scorer: Scorer) -> Evaluation:
    """Totals and intervals of all systems."""
    figures = {name: totals(rows, name) for name in names}
    for name in names:
        distance = scorer.frechet(name)
        if name != REAL and not np.isnan(distance):
            figures[name]["frechet"] = distance
        if name != REAL:
            figures[name] |= closeness(figures[name], figures[REAL])
    return Evaluation(rows, figures, {name: intervals(rows, name) for name in names})


def flat_figures(evaluation: Evaluation, plain: str) -> dict[str, float]:
    """One name a figure: the system `plain` bare, the others' with their name in front (`copy.psnr`)."""
    return {
        metric if system == plain else f"{system}.{metric}": value
        for system, figures in evaluation.totals.items()
        for metric, value in figures.items()
    }


def _asked(
    plan: Plan, records: Sequence[ClipRecord], record: ClipRecord
) -> tuple[RealStretch, ReconstructionTask] | None:
    """What a clip shows and what systems should rebuild; None where it has too few frames with a face."""
    clip = _shrunk(load_clip(plan.data, record), plan.side)
    chosen = choose_frames(clip, plan.protocol)
    if chosen is not None and plan.shown is not None:
        chosen = shown_frames(chosen, plan.shown[record.clip])
    if chosen is None:
        return None
    mel, times, speaker = clip.mel, clip.times[chosen.targets], record
    if plan.protocol == "cross":
        speaker = _stranger(records, record)
        mel, times = load_clip(plan.data, speaker, images=False).mel, times - times[0]
    meshes = load_mesh(plan.data, record)[chosen.targets]
    assert clip.images is not None
    truth = clip.images[chosen.targets]
    task = _task(plan, clip, chosen, mel, times)
    is_truth, said = plan.protocol != "cross", plan.phonemes.get(speaker.clip)
    return RealStretch(truth, meshes, times, SpeechTrack(mel), is_truth, task.points, said), task


def _shrunk(clip: PreparedClip, side: int | None) -> PreparedClip:
    assert clip.images is not None
    if side is None or side == clip.images.shape[1]:
        return clip
    return replace(clip, images=resized(clip.images, side))


def _task(
    plan: Plan, clip: PreparedClip, chosen: FrameChoice, mel: NDArray[np.float32], times: NDArray[np.float64]
) -> ReconstructionTask:
    assert clip.images is not None
    points = clip.landmarks[chosen.targets]
    if plan.predicts and plan.speaker is not None:
        points = plan.speaker.speak(mel, times, points, clip.landmarks[chosen.allowed])
    half = clip.images.shape[1] // 2
    upper = clip.images[chosen.targets]
    upper[:, half:] = 0
    seen = clip.images.copy()
    hidden = np.setdiff1d(np.arange(len(seen)), chosen.allowed)
    seen[hidden, half:] = 0
    return ReconstructionTask(
        clip=clip.record.clip,
        images=seen,
        landmarks=clip.landmarks,
        still=still_points(clip.transforms),
        targets=chosen.targets,
        upper=upper,
        points=points,
        predicted=plan.predicts,
        mel=mel_windows(mel, times),
        sound=mel,
        times=times,
        allowed=chosen.allowed,
        pool=chosen.pool,
    )


def _stranger(records: Sequence[ClipRecord], record: ClipRecord) -> ClipRecord:
    """The next clip in the list with another speaker."""
    start = records.index(record)
    following = [*records[start + 1 :], *records[:start]]
    other = next((one for one in following if one.identity != record.identity), None)
    if other is None:
        raise InputError(f"{record.clip}: it is the only speaker here; cross-driven evaluation needs two people.")
    return other


def _outputs(
    systems: Sequence[System], task: ReconstructionTask
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, float]]:
    """Every system's crops, and the frames a second of those that run here."""
    outputs: dict[str, Any] = {}
    speeds: dict[str, float] = {}
    for system in systems:
        began = time.perf_counter()
        outputs[system.name] = system.reconstruct(task)
        if not isinstance(system, Outputs):
            speeds[system.name] = len(task.targets) / (time.perf_counter() - began)
    return outputs, speeds
