"""Films that another system made of the sources of prepared clips: a row of Table 1."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord, load_clip, load_mesh, read_manifest
from lipsmith.errors import InputError, counted
from lipsmith.evaluation.alignment import SPARE, follow, is_same_rate, without_drawing
from lipsmith.evaluation.films import Film, films_below, pieces
from lipsmith.evaluation.systems import ReconstructionTask
from lipsmith.face import FaceMesh
from lipsmith.face.stretches import Stretch
from lipsmith.media import probe
from lipsmith.names import normalized

_NAMED = 3
"""Names in a message."""
_LOG = logging.getLogger(__name__)


@dataclass
class Outputs:
    """The films of one system, which are measured as they are: the upper half, too, is the system's."""

    name: str
    root: Path
    """Prepared clips."""
    films: Mapping[str, Film]
    """By clip; each begins where the clip's source begins, and has the clip's rate."""
    records: Mapping[str, ClipRecord]
    """By clip."""
    detector: FaceMesh

    def frames(self, clip: str) -> int:
        """How many of the clip's frames its film shows, from the first on."""
        film, record = self.films[clip], self.records[clip]
        info = film.info
        if info.frames is None:
            return record.frames
        last = (info.frames - 1) / float(info.rate)
        whole = info.frames if film.rate is None else int(last * float(film.rate) + 1e-6) + 1
        return min(record.frames, max(0, whole - first_frame(record, film)))

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """The targets' crops `(T, S, S, 3)` in the film; where it shows no face, those of the nearest frame with one.

        Raises InputError if the film shows no face or ends too early.
        """
        record = self.records[task.clip]
        whole = self._stretch(record)
        stretch = whole.between(whole.first + int(task.targets[0]), whole.first + int(task.targets[-1]) + 1)
        film = self.films[task.clip]
        source = Path(record.source)
        info = probe(source) if source.is_file() else film.info
        size = info.width, info.height
        film = without_drawing(size, film, [stretch], self.detector)
        _, theirs = follow(size, film, [stretch], self.detector)
        numbers = np.concatenate([np.arange(part.first, part.first + len(part)) for part in theirs]) - whole.first
        crops = np.concatenate([piece.crops for piece in pieces(film, theirs, task.images.shape[1])])
        if len(crops) < len(numbers) - SPARE:
            raise InputError(f"{film.path}: ends before {task.clip}, although its header says otherwise; convert it.")
        aside = np.abs(numbers[: len(crops)] - task.targets[:, None])
        return np.asarray(crops[aside.argmin(1)], np.uint8)

    def _stretch(self, record: ClipRecord) -> Stretch:
        """The clip as a stretch of its source."""
        clip, mesh = load_clip(self.root, record, images=False), load_mesh(self.root, record)
        scores = np.ones(record.frames, np.float32)
        times, transforms = clip.times + (record.start or 0.0), clip.transforms.astype(np.float64)
        first = first_frame(record, self.films[record.clip])
        return Stretch(first, times, mesh, transforms, scores, clip.tracked)


def find_outputs(name: str, folder: Path, root: Path, records: Sequence[ClipRecord]) -> Outputs:
    """The films in `folder` of the sources of the clips `records`, named as the clips or as the sources.

    Warns of clips without a film, and of films without a clip. Raises InputError if the folder is missing or has a film
    of no clip, or if the name of a film fits several sources.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder of the films of {name}.")
    found = films_below(folder)
    chosen = {record.clip: place for record in records if (place := _place(record, found)) is not None}
    _require_unique(folder, chosen, records)
    if not chosen:
        raise InputError(f"{folder}: no film is named like a clip, for example {PurePosixPath(records[0].clip).name}.")
    everyone = read_manifest(root)
    known = {place for record in everyone if (place := _place(record, found)) is not None}
    if extra := sorted(found.keys() - known):
        _LOG.warning("%s: ignoring %s of no clip: %s", name, counted(len(extra), "film"), _listed(extra))
    by_clip = {record.clip: record for record in records if record.clip in chosen}
    films = {clip: _at_rate(Film(found[chosen[clip]]), record) for clip, record in by_clip.items()}
    return Outputs(name, root, films, by_clip, FaceMesh())


def shown_by_all(outputs: Sequence[Outputs], records: Sequence[ClipRecord]) -> dict[str, int] | None:
    """How many frames of each clip all `outputs` show, without the clips that one of them lacks; None without outputs.

    All rows are measured on the same frames, so that they compare. Warns of what is left out. Raises InputError if the
    outputs share no clip.
    """
    if not outputs:
        return None
    for system in outputs:
        missing = [record.clip for record in records if record.clip not in system.films]
        if missing:
            _LOG.warning(
                "%s has no film of %d of %d clips, which are left out for all systems: %s",
                *(system.name, len(missing), len(records), _listed(missing)),
            )
        short = [clip for clip in system.films if system.frames(clip) < system.records[clip].frames - SPARE]
        if short:
            films = counted(len(short), "film")
            _LOG.warning("%s: %s with an end before the clip's: %s", system.name, films, _listed(short))
    common = [record.clip for record in records if all(record.clip in system.films for system in outputs)]
    if not common:
        names = ", ".join(system.name for system in outputs)
        raise InputError(f"{names}: no clip has a film of each of them; generate the missing ones.")
    return {clip: min(system.frames(clip) for system in outputs) for clip in common}


def first_frame(record: ClipRecord, film: Film) -> int:
    """Number of the clip's first frame in a `film` made from its source: the same, unless the film has another rate."""
    if film.rate is None and record.first is not None:
        return record.first
    return round((record.start or 0.0) * record.fps)


def _place(record: ClipRecord, found: Mapping[str, Path]) -> str | None:
    """The name among `found` of the film of a clip's source: the clip's or the source's, in the same folders or none.

    None as well for a later clip of a source if it is unknown where it begins.
    """
    *folders, clip = PurePosixPath(record.clip).parts
    name, _, later = clip.partition("+")
    if later and record.start is None:
        return None
    stems = name, Path(record.source).stem
    places = [normalized("/".join([*folders[start:], stem])) for stem in stems for start in range(3)]
    return next((place for place in places if place in found), None)


def _require_unique(folder: Path, chosen: Mapping[str, str], records: Sequence[ClipRecord]) -> None:
    sources: dict[str, str] = {}
    for record in records:
        place = chosen.get(record.clip)
        if place is not None and sources.setdefault(place, record.source) != record.source:
            raise InputError(
                f"{folder}: {place} may be a film of {sources[place]} or of {record.source}; name it as the clip, "
                f"{record.clip}."
            )


def _at_rate(film: Film, record: ClipRecord) -> Film:
    rate = Fraction(record.fps).limit_denominator(1001)
    return film if is_same_rate(film.info.rate, rate) else replace(film, rate=rate)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
