"""Prepares what films show of one person: the face that a dub would choose, with or without speech."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from lipsmith.data.clips import MANIFEST, ClipRecord, read_manifest, write_manifest
from lipsmith.data.prepare.clip import LeftOutError, Preparation
from lipsmith.data.prepare.layouts import Job
from lipsmith.errors import InputError
from lipsmith.evaluation.metrics.judge import load_judge
from lipsmith.evaluation.offsets import find_judged_offsets, note_offsets
from lipsmith.evaluation.protocols import MIN_STRICT_SECONDS
from lipsmith.face import MOST_FACES, FaceTracker
from lipsmith.inference.model_folder import usable_cores
from lipsmith.media import probe
from lipsmith.progress import Progress
from lipsmith.training.renderer.sampler import MIN_SPLIT_FRAMES

_LOG = logging.getLogger(__name__)
MOST_SECONDS: Final = 300.0
"""Seconds of the face that are used, the first of the films, which bounds memory (half a gigabyte) and time."""


def prepare_person(
    films: Sequence[Path], root: Path, size: int, threads: int | None = None, progress: Progress | None = None
) -> list[ClipRecord]:
    """Clips of the main face of each shot in the folder `root`, with speech and picture in sync; those that are
    complete there are returned as they are.

    Stretches under 2 s or 16 frames are left out. `progress` is called with the seconds done and their total. Raises
    InputError if the films show no face for that long.
    """
    if not (root / MANIFEST).is_file():
        begun = root.with_name(f"{root.name}.begun")
        for left in (begun, root):
            shutil.rmtree(left, ignore_errors=True)
        begun.mkdir(parents=True)
        total = min(MOST_SECONDS, sum(probe(film).duration or 0.0 for film in films))
        records = list(_until_enough(_clips(films, begun, size, threads), total, progress))
        if not records:
            names = ", ".join(film.name for film in films)
            raise InputError(
                f"{names}: no face stays in view for {MIN_STRICT_SECONDS:g} s and {MIN_SPLIT_FRAMES} frames; give a "
                "film of one person, facing the camera, of at least ten seconds."
            )
        write_manifest(begun, records)
        note_offsets(begun, find_judged_offsets(begun, load_judge()).seconds)
        begun.rename(root)
    return read_manifest(root)


def _clips(films: Sequence[Path], root: Path, size: int, threads: int | None) -> Iterator[ClipRecord]:
    for number, film in enumerate(films, 1):
        job = Job(film, "train", "person", f"{number:03}")
        tracker = FaceTracker(MOST_FACES, threads or usable_cores())
        try:
            with closing(Preparation(job, root, size, tracker, probe(film), selective=False).records()) as records:
                yield from records
        except LeftOutError as reason:
            _LOG.warning("%s: %s; it is not used", film, reason)


def _until_enough(records: Iterator[ClipRecord], total: float, progress: Progress | None) -> Iterator[ClipRecord]:
    """The clips that are long enough, up to `MOST_SECONDS` in all. `total`: the seconds that there may be, for the
    progress."""
    seconds = 0.0
    for record in records:
        if record.seconds >= MIN_STRICT_SECONDS and record.frames >= MIN_SPLIT_FRAMES:
            yield record
            seconds += record.seconds
            if progress is not None:
                progress(int(min(seconds, total)), int(total))
        if seconds >= MOST_SECONDS:
            _LOG.info("the first %.0f seconds of the face are used", seconds)
            return
