"""Any system's films against the real ones: the same metrics, in the same crops, as for our own models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.audio import MELS, mel_spectrogram, read_audio
from lipsmith.errors import InputError, LipsmithError
from lipsmith.evaluate.film import find_face, follow, pieces
from lipsmith.evaluate.run import Evaluation, summary
from lipsmith.evaluate.scoring import REAL, Scorer, Shown
from lipsmith.metrics.judge import Sound
from lipsmith.metrics.lse import figures_of
from lipsmith.video import probe

Row = dict[str, Any]
Progress = Callable[[int, int], None]
Watcher = Callable[[str, Shown, NDArray[np.uint8]], None]

SUFFIXES: Final = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".gif"})
SYSTEM: Final = "generated"
_UNHEARD: Final = Sound(np.zeros((MELS, 0), np.float32))
_SPARE: Final = 5
"""Frames by which films may differ without a word: encoders drop and repeat a few at the ends."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A real film and what a system made of it."""

    name: str
    real: Path
    generated: Path


def find_pairs(real: Path, generated: Path) -> list[Pair]:
    """Two films, or the films of two folders that have the same name (without ending), also in subfolders.

    Raises InputError for a path that is not there and for folders without a common name.
    """
    for path in (real, generated):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    if real.is_file() and generated.is_file():
        return [Pair(real.stem, real, generated)]
    if real.is_file() or generated.is_file():
        raise InputError(f"{real} and {generated}: give two films or two folders")
    ours, theirs = _films(real), _films(generated)
    common = sorted(ours.keys() & theirs.keys())
    for alone in sorted(ours.keys() ^ theirs.keys()):
        _LOG.warning("%s is left out: only one of the folders has it", alone)
    if not common:
        raise InputError(f"{real} and {generated} have no film of the same name; rename the generated ones")
    return [Pair(name, ours[name], theirs[name]) for name in common]


def score(
    pairs: list[Pair],
    scorer: Scorer,
    *,
    size: int = 128,
    is_truth: bool = True,
    progress: Progress | None = None,
    watch: Watcher | None = None,
) -> tuple[Evaluation, list[tuple[str, str]]]:
    """Measure each pair in aligned crops of side `size`; also returns the pairs that failed, each with its reason.

    Frames are matched by number; of films of unequal length the common part counts. The speech is the generated film's,
    or else the real one's; where neither has sound, the lip-sync judge is not asked.
    `watch` sees the first piece of each pair. With `is_truth` false (another speech was given) the figures that need
    the truth are left out. Each pair counts as an identity of its own. Raises the first pair's error where all fail.
    """
    rows: list[Row] = []
    failed: list[tuple[str, str]] = []
    error: LipsmithError | None = None
    for number, pair in enumerate(pairs):
        try:
            rows += _score(pair, scorer, size, is_truth, watch)
        except LipsmithError as problem:
            error = error or problem
            failed.append((pair.name, str(problem)))
        if progress:
            progress(number + 1, len(pairs))
    if not rows and error:
        raise error
    return summary(rows, [REAL, SYSTEM], scorer), failed


def _score(pair: Pair, scorer: Scorer, size: int, is_truth: bool, watch: Watcher | None) -> list[Row]:
    parts: dict[str, list[Row]] = {}
    sound = _sound(pair)
    if sound is None:
        _LOG.warning("%s and %s have no sound: LSE is left out", pair.real, pair.generated)
        scorer = replace(scorer, networks=replace(scorer.networks, judge=None))
    for number, (shown, generated) in enumerate(_shown(pair, sound or _UNHEARD, size, is_truth)):
        for system, row in scorer.score(shown, {SYSTEM: generated}).items():
            parts.setdefault(system, []).append(row)
        if watch and number == 0:
            watch(pair.name, shown, generated)
    real, made = probe(pair.real).frames, probe(pair.generated).frames
    if real is not None and made is not None and abs(real - made) > _SPARE:
        _LOG.warning("%s: %d frames are real and %d generated; the common part counts", pair.name, real, made)
    if not parts:
        raise InputError(f"{pair.generated}: it ends before the face of {pair.real} is seen; give the whole film")
    about = {"clip": pair.name, "identity": pair.name}
    return [{**about, "system": system, **_joined(rows)} for system, rows in parts.items()]


def _shown(pair: Pair, sound: Sound, size: int, is_truth: bool) -> Iterator[tuple[Shown, NDArray[np.uint8]]]:
    """The pair, piece by piece."""
    ours, theirs = follow(pair.real, pair.generated, find_face(pair.real))
    for real, made in zip(pieces(pair.real, ours, size), pieces(pair.generated, theirs, size), strict=False):
        count = min(len(real.crops), len(made.crops))
        shown = Shown(real.crops[:count], real.meshes[:count], real.times[:count], sound, is_truth)
        yield shown, made.crops[:count]


def _sound(pair: Pair) -> Sound | None:
    speaker = next((film for film in (pair.generated, pair.real) if probe(film).has_audio), None)
    if speaker is None:
        return None
    wave = read_audio(speaker)
    return Sound(mel_spectrogram(wave), wave)


def _joined(rows: list[Row]) -> Row:
    """One row for a film: means over its pieces, weighted by their frames; LSE of their mean curve."""
    weights = np.array([row["frames"] for row in rows], np.float64)
    joined: Row = {"frames": int(weights.sum())}
    for key in rows[0]:
        if key in ("frames", "offset"):
            continue
        values = np.array([row[key] for row in rows], np.float64)
        known = np.isfinite(values) | np.isinf(values)
        share = np.where(known, weights.reshape(-1, *[1] * (values.ndim - 1)), 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (np.where(known, values, 0) * share).sum(0) / share.sum(0)
        joined[key] = mean.tolist()
    if "curve" in joined:
        # One shift for the whole film, as `lipsmith.sync` takes it: each piece at its own best would flatter.
        sync = figures_of(np.array(joined["curve"], np.float64))
        joined |= {"lse_d": sync.lse_d, "lse_c": sync.lse_c, "offset": sync.offset}
    return joined


def _films(folder: Path) -> dict[str, Path]:
    """Films below a folder by path without ending."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
    return {str(path.relative_to(folder).with_suffix("")): path for path in found}
