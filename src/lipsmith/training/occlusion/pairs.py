"""Draws new mouths over prepared clips with a trained model, as a dub does, to learn what is no object."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord, PreparedClip, load_clip
from lipsmith.disk import disk_errors
from lipsmith.dubbing.paste.composite import soft_mask
from lipsmith.face.crop import still_points
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.face.references import choose_landmarks, choose_pool, costs, nearest, sharpness_of
from lipsmith.files import DAMAGED, write_whole
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import ModelConfig, find_model, load_backend
from lipsmith.inference.occlusion import cells
from lipsmith.inference.render import Sketches, encode_face, render
from lipsmith.inference.speak import driven, predict_content
from lipsmith.speech.mel import mel_windows
from lipsmith.training.occlusion.config import OcclusionTraining
from lipsmith.training.store import read_ahead

_AT_ONCE: Final = 5
_FEWEST: Final = 8
"""Frames below which a clip is left out."""


class Pairs(NamedTuple):
    """n frames of one clip."""

    filmed: NDArray[np.uint8]
    """(n, 32, 64, 3), cells of the lower half."""
    drawn: NDArray[np.uint8]
    """(n, 32, 64, 3), with another mouth."""
    mask: NDArray[np.float32]
    """(n, 32, 64) in [0, 1], where a dub changes it."""


def some_clips(records: Sequence[ClipRecord], most: int) -> list[ClipRecord]:
    """At most `most` clips of each person, evenly spaced among those that are long enough."""
    by_person: defaultdict[str, list[ClipRecord]] = defaultdict(list)
    for record in records:
        if record.frames >= _FEWEST:
            by_person[record.identity].append(record)
    picked = [np.unique(np.linspace(0, len(own) - 1, most).round().astype(int)) for own in by_person.values()]
    return [own[rank] for own, ranks in zip(by_person.values(), picked, strict=True) for rank in ranks]


def drawn_pairs(root: Path, records: Sequence[ClipRecord], config: OcclusionTraining, kept: Path) -> Iterator[Pairs]:
    """`frames` of each clip, or all of a shorter one, drawn by the model of the config with the speech of the clip
    halfway around.

    The folder `kept` keeps them for the next call, since drawing takes minutes.
    """
    model = find_model(config.drawn_by)
    settings, backend = model.settings, load_backend(model)  # a model that does not dub has no settings
    kept.mkdir(parents=True, exist_ok=True)

    def draw(number: int) -> Pairs:
        record, other = records[number], records[(number + len(records) // 2) % len(records)]
        key = json.dumps([config.frames, dict(settings.files), asdict(record), asdict(other)])
        path = kept / f"{sha256(key.encode()).hexdigest()[:16]}.npz"
        if (pairs := _read(path)) is None:
            speech = load_clip(root, other, images=False).mel
            pairs = _drawn(load_clip(root, record), speech, config.frames, backend, settings)
            _write(path, pairs)
        return pairs

    return read_ahead(draw, range(len(records)))


def _read(path: Path) -> Pairs | None:
    with suppress(*DAMAGED), np.load(path) as found:
        return Pairs(*(found[name] for name in Pairs._fields))
    return None


def _write(path: Path, pairs: Pairs) -> None:
    with disk_errors(path), write_whole(path) as beside:
        np.savez_compressed(beside, **pairs._asdict())


def _drawn(
    clip: PreparedClip, speech: NDArray[np.float32], frames: int, backend: Backend, config: ModelConfig
) -> Pairs:
    assert clip.images is not None
    images, old, still = clip.images, clip.landmarks, still_points(clip.transforms)
    pool = choose_pool(old, np.array([sharpness_of(image) for image in images]))
    lips = choose_pool(old[pool], None, config.lips)
    face = encode_face(backend, images[pool], old[pool], still[pool], lips)
    new = _spoken(clip, speech, backend, config)
    chosen = nearest(costs(new, old[pool], still, still[pool]), config.references_per_frame)
    rows = np.unique(np.linspace(0, len(old) - 1, frames).round().astype(int))
    sketches, first, last = Sketches(new), np.zeros(1, np.intp), np.full(1, len(old) - 1)
    mel, found = mel_windows(speech, clip.times), []
    for begin in range(0, len(rows), _AT_ONCE):
        some = rows[begin : begin + _AT_ONCE]
        around = sketches.around(some, first, last, face.side)
        drawing = render(backend, face, images[some], new[some], still[some], around, mel[some], chosen[some])
        found.append(drawing.images)
    masks = np.stack([soft_mask(old[row], new[row], face.side) for row in rows])
    return Pairs(cells(images[rows]), cells(np.concatenate(found)), cells(masks))


def _spoken(
    clip: PreparedClip, speech: NDArray[np.float32], backend: Backend, config: ModelConfig
) -> NDArray[np.float32]:
    """The points `(F, 131, 2)` of the clip's face when it says other speech."""
    known = clip.landmarks[choose_landmarks(clip.landmarks)]
    points = clip.landmarks.copy()
    pose = points[:, :NUM_POSE]
    points[:, NUM_POSE:] = predict_content(backend, speech, clip.times, pose, known, config.window)
    points[:, NUM_POSE:] = driven(points, known, config.drive)
    return points
