"""Metrics of the articulation of detected lips, given a film's speech.

`theval.*` follow the published code of THEval (arXiv 2511.04520): lips in silence, opening compared with loudness, and
lip shapes over time. Each is a value of a single film, including the real one; `closeness` compares the values of a
system with those of the real film.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.evaluation.metrics.closure import closures, events
from lipsmith.evaluation.metrics.landmarks import CROP_SIDE, amplitude, opening_r
from lipsmith.face.detector import EYE_CORNERS
from lipsmith.face.landmarks import INNER_LIP, LOWER_INNER, NUM_JAW, OUTER_LIP, UPPER_INNER, Floats
from lipsmith.speech.activity import Spans
from lipsmith.speech.mel import SAMPLE_RATE
from lipsmith.speech.phonemes import Phonemes

CLOSENESS: Final = {
    "theval.silent_stability": "theval.silent_deviation",
    "theval.lip_sync": "theval.loudness_gap",
    "theval.lip_dynamics": "theval.shape_variance",
}
"""The figures of `closeness`, and the value that each compares with the real film."""
_UPPER, _LOWER = ([(OUTER_LIP + INNER_LIP).index(point) for point in side] for side in (UPPER_INNER, LOWER_INNER))
_SHORTEST_SILENCE: Final = 0.3
_LEAST_SPEECH: Final = 0.1
"""Minimum share of frames with speech for a comparison with the loudness."""
_LOUDNESS_STEP: Final = round(0.05 * SAMPLE_RATE)
_EPSILON: Final = 1e-8


@dataclass(frozen=True)
class Utterance:
    """The speech of a film; fields are None if unknown."""

    wave: NDArray[np.float32]
    """(n,) samples at 16 kHz."""
    phonemes: Phonemes | None = None
    """Phonemes and their times."""
    spans: Spans | None = None
    """Stretches of speech."""


@dataclass(frozen=True)
class LipTrack:
    """Lips found in successive pictures."""

    lips: NDArray[np.float32]
    """(F, 40, 2) pixels at 128, from `redetect`."""
    eyes: NDArray[np.float64]
    """(F,) distance of the outer corners of the eyes, pixels at 128."""
    times: NDArray[np.float64]
    """(F,) seconds on the sound's clock."""

    @property
    def content(self) -> NDArray[np.float32]:
        """See `as_content`."""
        return as_content(self.lips)


def as_content(lips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lips `(F, 40, 2)` in pixels at 128 as content `(F, 57, 2)` in crop units, whose jaw is zero."""
    return np.pad(lips / np.float32(CROP_SIDE), ((0, 0), (NUM_JAW, 0), (0, 0)))


def closure_figures(lips: NDArray[np.float32], times: NDArray[np.float64], phonemes: Phonemes) -> dict[str, float]:
    """Closures and their events (`lipsmith.evaluation.metrics.closure`) of lips `(F, 40, 2)` in pixels at 128."""
    everything = np.ones(len(times), np.bool_)
    return closures(as_content(lips), times, everything, phonemes) | events(times, everything, phonemes)


def eye_distance(meshes: Floats) -> NDArray[np.float64]:
    """`(F,)` pixels at 128 between the outer corners of the eyes of meshes `(F, 478, 2)` in crop units."""
    first, second = (meshes[:, point].astype(np.float64) for point in EYE_CORNERS)
    distance: NDArray[np.float64] = CROP_SIDE * np.linalg.norm(first - second, axis=-1)
    return distance


def joined(tracks: list[LipTrack]) -> LipTrack:
    """One track of a film's pieces."""
    return LipTrack(*(np.concatenate([getattr(track, name) for track in tracks]) for name in ("lips", "eyes", "times")))


def articulation(track: LipTrack, said: Utterance | None) -> dict[str, float]:
    """Figures of one film by name; figures that cannot be measured are omitted or NaN.

    `closure`, `closure_fv`, `closure_open` and their numbers of events: `lipsmith.evaluation.metrics.closure`.
    """
    figures = {"theval.shape_variance": shape_variance(track)}
    if said is None:
        return figures
    if said.phonemes is not None:
        figures |= closure_figures(track.lips, track.times, said.phonemes)
    if said.spans is not None:
        speaking, opening = in_spans(track.times, said.spans), gap(track)
        figures["theval.silent_deviation"] = silent_deviation(opening, track.times, ~speaking)
        figures["theval.loudness_gap"] = loudness_gap(opening, loudness(said.wave, track.times), speaking)
    return figures


def against_real(track: LipTrack, real: LipTrack) -> dict[str, float]:
    """Correlation of the opening with the real film's, and the ratio of their standard deviations."""
    return {
        "opening_r": opening_r(track.content, real.content),
        "amplitude": amplitude(track.content, real.content),
    }


def closeness(figures: Mapping[str, float], real: Mapping[str, float]) -> dict[str, float]:
    """`1 - |value - real| / |real|` of each THEval figure that both have; 1 equals the real film."""
    return {
        name: 1 - abs(figures[value] - real[value]) / abs(real[value])
        for name, value in CLOSENESS.items()
        if value in figures and real.get(value, 0.0) != 0
    }


def gap(track: LipTrack) -> NDArray[np.float64]:
    """Mean height `(F,)` of the nine gaps between the inner lips, divided by the distance of the eyes."""
    heights = np.abs(track.lips[:, _LOWER, 1] - track.lips[:, _UPPER, 1]).astype(np.float64)
    return np.asarray(heights.mean(1) / track.eyes)


def silent_deviation(opening: NDArray[np.float64], times: NDArray[np.float64], silent: NDArray[np.bool_]) -> float:
    """Median distance of `opening` `(F,)` from its mean, over silences of 0.3 s or more; NaN without silences."""
    chosen = opening[long_runs(times, silent)]
    return float(np.median(np.abs(chosen - chosen.mean()))) if len(chosen) > 1 else float("nan")


def loudness_gap(opening: NDArray[np.float64], level: NDArray[np.float64], speaking: NDArray[np.bool_]) -> float:
    """Mean difference of opening and loudness `(F,)`, each scaled to [0, 1] over the frames `speaking`.

    NaN if less than a tenth of the frames is speech.
    """
    if speaking.sum() < 2 or speaking.mean() < _LEAST_SPEECH:
        return float("nan")
    return float(np.abs(_scaled(opening[speaking]) - _scaled(level[speaking])).mean())


def shape_variance(track: LipTrack) -> float:
    """Variance over time of the distances between lip points, relative to the distance of the eyes; mean over all
    pairs."""
    first, second = np.triu_indices(track.lips.shape[1], 1)
    points = track.lips.astype(np.float64)
    distances = np.linalg.norm(points[:, first] - points[:, second], axis=-1) / track.eyes[:, None]
    return float(distances.var(0).mean())


def loudness(wave: NDArray[np.float32], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square of the sound in steps of 0.05 s, interpolated at `times` `(F,)`."""
    count = max(1, -(-len(wave) // _LOUDNESS_STEP))
    padded = np.pad(wave.astype(np.float64), (0, count * _LOUDNESS_STEP - len(wave)))
    levels = np.sqrt(np.square(padded.reshape(count, _LOUDNESS_STEP)).mean(1))
    middles = (np.arange(count) + 0.5) * _LOUDNESS_STEP / SAMPLE_RATE
    return np.asarray(np.interp(times, middles, levels), np.float64)


def in_spans(times: NDArray[np.float64], spans: Spans) -> NDArray[np.bool_]:
    """Whether `times` `(F,)` lie in one of the spans, which are sorted and do not overlap."""
    begins, ends = np.array([(-np.inf, -np.inf), *spans]).T
    return np.asarray(times <= ends[np.searchsorted(begins, times, side="right") - 1])


def long_runs(times: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The frames `chosen` `(F,)` in runs of 0.3 s or more, without a gap in time."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    breaks = np.flatnonzero((np.diff(chosen.astype(np.int8)) != 0) | (np.diff(times) > 1.5 * step)) + 1
    kept = np.zeros(len(times), np.bool_)
    for run in np.split(np.arange(len(times)), breaks):
        if chosen[run[0]] and len(run) * step >= _SHORTEST_SILENCE - _EPSILON:
            kept[run] = True
    return kept


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.min()) / (np.ptp(values) + _EPSILON))
