"""Scores the films of any system against the real ones, with the same metrics and crops as for our own models."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError, LipsmithError
from lipsmith.evaluation.alignment import align
from lipsmith.evaluation.films import Film, Piece, films_below, pieces
from lipsmith.evaluation.listening import Listener
from lipsmith.evaluation.metrics.articulation import (
    LipTrack,
    Utterance,
    against_real,
    articulation,
    eye_distance,
    joined,
)
from lipsmith.evaluation.metrics.judge import SpeechTrack
from lipsmith.evaluation.metrics.lse import figures_of
from lipsmith.evaluation.run import Evaluation, summary
from lipsmith.evaluation.sanity_checks import warn_other_speech
from lipsmith.evaluation.scoring import RealStretch, Scorer, Watcher
from lipsmith.evaluation.systems import REAL
from lipsmith.evaluation.totals import Row
from lipsmith.files import require
from lipsmith.media import probe
from lipsmith.progress import Progress
from lipsmith.speech.mel import MELS, mel_spectrogram, stream_audio

SYSTEM: Final = "generated"
_NO_SPEECH: Final = SpeechTrack(np.zeros((MELS, 0), np.float32))
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A real film and a film generated from it."""

    name: str
    real: Path
    generated: Path


def find_pairs(real: Path, generated: Path) -> list[Pair]:
    """Two films, or the films of two folders that have the same name (without suffix), including subfolders.

    Raises InputError for a missing path and for folders without a common name.
    """
    require(real, generated)
    if real.is_file() and generated.is_file():
        return [Pair(real.stem, real, generated)]
    if real.is_file() or generated.is_file():
        raise InputError(f"{real} and {generated}: give two films or two folders.")
    ours, theirs = films_below(real), films_below(generated)
    common = sorted(ours.keys() & theirs.keys())
    for alone in sorted(ours.keys() ^ theirs.keys()):
        _LOG.warning("%s is skipped: only one of the folders has it", alone)
    if not common:
        raise InputError(f"{real} and {generated} have no films with the same name; rename the generated ones.")
    return [Pair(name, ours[name], theirs[name]) for name in common]


def score_pairs(
    pairs: list[Pair],
    scorer: Scorer,
    *,
    size: int = 128,
    is_truth: bool = True,
    listener: Listener | None = None,
    progress: Progress | None = None,
    watch: Watcher | None = None,
) -> tuple[Evaluation, list[tuple[str, str]]]:
    """Measure each pair in aligned crops of side `size`; also returns the pairs that failed, each with its reason.

    `lipsmith.evaluation.alignment` lines the films up; of films of unequal length the common part counts. The speech is
    the generated film's, or else the real one's if `is_truth`; where there is none, LSE is left out.
    Films that hardly compare (other lengths, rates, heads or speech, few faces) cause a warning; one that is side by
    side with the real one, or without a face, fails. `listener` tells what is said, for closures and silence. `watch`
    receives the first piece of each pair. With `is_truth` false (the speech is another) the figures that need the truth
    are left out. Each pair counts as an identity of its own. Raises the first pair's error where all fail.
    """
    rows: list[Row] = []
    failed: list[tuple[str, str]] = []
    error: LipsmithError | None = None
    for number, pair in enumerate(pairs):
        try:
            rows += _score(pair, scorer, size, is_truth, listener or Listener(), watch)
        except LipsmithError as problem:
            error = error or problem
            failed.append((pair.name, str(problem)))
        if progress:
            progress(number + 1, len(pairs))
    if not rows and error:
        raise error
    return summary(rows, [REAL, SYSTEM], scorer), failed


def _score(
    pair: Pair, scorer: Scorer, size: int, is_truth: bool, listener: Listener, watch: Watcher | None
) -> list[Row]:
    parts: dict[str, list[Row]] = {}
    tracks: dict[str, list[LipTrack]] = {}
    sound = _sound(pair, is_truth)
    if sound is None:
        scorer = replace(scorer, networks=replace(scorer.networks, judge=None))
    films = align(Film(pair.real), Film(pair.generated), scorer.networks.mesh)
    both = zip(pieces(films.real, films.ours, size), pieces(films.generated, films.theirs, size), strict=False)
    for number, (real, made) in enumerate(both):
        shown, generated = _cut_to_common(real, made, sound or _NO_SPEECH, is_truth)
        lips = scorer.find_lips(shown, {SYSTEM: generated})
        for system, row in scorer.score(shown, {SYSTEM: generated}, lips).items():
            parts.setdefault(system, []).append(row)
            track = LipTrack(lips[system], eye_distance(shown.meshes), shown.times)
            tracks.setdefault(system, []).append(track)
        if watch and number == 0:
            watch(pair.name, shown.crops, {SYSTEM: generated}, is_truth)
    if not parts:
        raise InputError(f"{pair.generated}: it ends before the face of {pair.real} appears; give the whole film.")
    about = {"clip": pair.name, "identity": pair.name}
    whole = {system: joined(track) for system, track in tracks.items()}
    spoken = _articulations(pair, whole, sound, listener, is_truth)
    return [{**about, "system": system, **_joined(rows), **spoken[system]} for system, rows in parts.items()]


def _articulations(
    pair: Pair, tracks: dict[str, LipTrack], sound: SpeechTrack | None, listener: Listener, is_truth: bool
) -> dict[str, dict[str, float]]:
    """Figures of whole films. A real film that says something else is measured with its own speech."""
    said = _heard(sound.wave if sound else None, listener)
    real = said if is_truth else _heard(_wave(pair.real), listener)
    found = {name: articulation(track, real if name == REAL else said) for name, track in tracks.items()}
    if is_truth:
        found[SYSTEM] |= against_real(tracks[SYSTEM], tracks[REAL])
    return found


def _heard(wave: NDArray[np.float32] | None, listener: Listener) -> Utterance | None:
    return None if wave is None else listener(wave)


def _cut_to_common(
    real: Piece, made: Piece, sound: SpeechTrack, is_truth: bool
) -> tuple[RealStretch, NDArray[np.uint8]]:
    """The frames that both have, because a film may end within a piece."""
    count = min(len(real.crops), len(made.crops))
    shown = RealStretch(real.crops[:count], real.meshes[:count], real.times[:count], sound, is_truth)
    return shown, made.crops[:count]


def _sound(pair: Pair, is_truth: bool) -> SpeechTrack | None:
    """The speech from which the generated film was made; None if unknown."""
    wave = _wave(pair.generated)
    if wave is not None:
        if is_truth and probe(pair.real).has_audio:
            warn_other_speech(pair.real, pair.generated)
        return SpeechTrack(mel_spectrogram(wave), wave)
    wave = _wave(pair.real) if is_truth else None
    if wave is None:
        _LOG.warning("%s has no sound: LSE is omitted", pair.generated)
        return None
    _LOG.warning("%s has no sound: LSE uses that of %s", pair.generated, pair.real)
    return SpeechTrack(mel_spectrogram(wave), wave)


def _wave(film: Path) -> NDArray[np.float32] | None:
    """The waveform of a film; None if it has no sound or only silence."""
    blocks = [*stream_audio(film)] if probe(film).has_audio else []
    wave = np.concatenate([*blocks, np.zeros(0, np.float32)])
    return np.clip(wave, -1.0, 1.0, out=wave) if wave.any() else None


def _joined(rows: list[Row]) -> Row:
    """One row per film: means over its pieces, weighted by frames, and LSE of their mean curve."""
    weights = np.array([row["frames"] for row in rows], np.float64)
    joined: Row = {"frames": int(weights.sum())}
    for key in rows[0]:
        if key in ("frames", "offset"):
            continue
        values = np.array([row[key] for row in rows], np.float64)
        known = ~np.isnan(values)
        share = np.where(known, weights.reshape(-1, *[1] * (values.ndim - 1)), 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (np.where(known, values, 0) * share).sum(0) / share.sum(0)
        joined[key] = mean.tolist()
    if "curve" in joined:
        # One shift for the whole film, as in `evaluation.offsets`: the best shift of each piece would be too
        # optimistic.
        joined |= figures_of(np.array(joined["curve"], np.float64)).by_name
    return joined
