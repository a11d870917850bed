"""Predicts the points of a mouth in every frame of the timeline, and selects the references to render it from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.scan import ArrayStore, Face
from lipsmith.dubbing.source import Timeline
from lipsmith.face.crop import still_points
from lipsmith.face.landmarks import NUM_POSE, Rows, parts
from lipsmith.face.references import costs, nearest, undercut
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import ModelConfig
from lipsmith.inference.render import Sketches
from lipsmith.inference.speak import close_lips, driven, predict_in_pieces, resting_opening, with_jaw_ends
from lipsmith.speech.mel import mel_windows
from lipsmith.speech.recording import Speech, speaking

Heard = Callable[[NDArray[np.float64]], NDArray[np.float32]]
"""The mel windows `(n, 80, 16)` of frames at times `(n,)`."""

_OTHER: Final = 0.2
"""Cost, crop units, of a reference that looks unlike the frame: more than of any pose."""
AROUND: Final = 3
"""Frames after which a look no longer counts; it counts less the farther it is."""


@dataclass(frozen=True)
class MouthTrack:
    """A face's mouth in the `n` output frames in which the face is seen."""

    face: Face
    frames: NDArray[np.intp]
    """(n,) output frame numbers, rising."""
    times: NDArray[np.float64]
    """(n,) seconds of the speech."""
    rows: NDArray[np.intp]
    """(n,) rows in the face's arrays."""
    points: Rows
    """(n, 131, 2), crop units, as rendered."""
    references: NDArray[np.intp]
    """(n, k) indices in the face's pool."""
    begins: NDArray[np.intp]
    """(n,) index at which each frame's unbroken run begins."""
    ends: NDArray[np.intp]
    """(n,) index at which each frame's unbroken run ends, inclusive."""
    heard: Heard
    """What the face says."""

    def place(self, number: int) -> int | None:
        """Where output frame `number` is in these arrays; None where it does not show the face."""
        first, last = self._span
        if not first <= number <= last:  # without a search, because a long film has thousands of shots with a mouth
            return None
        at = bisect_left(self.frames, number)
        return at if self.frames[at] == number else None

    @cached_property
    def _span(self) -> tuple[int, int]:
        """The first and the last of the `frames`."""
        return int(self.frames[0]), int(self.frames[-1])

    def continues(self, number: int) -> bool:
        """Whether output frame `number` continues a run."""
        at = self.place(number)
        return at is not None and bool(self.begins[at] != at)

    def chosen(
        self, places: NDArray[np.intp], still: NDArray[np.float32], other: NDArray[np.float32]
    ) -> NDArray[np.intp]:
        """The references `(n, k)` of frames that are drawn together, at rising `places` `(n,)` of these arrays: those
        planned, except that others replace those which look `unlike` the frame.

        `still`: `(n, 2, 2)`, `still_points` of the frames; `other`: `(n, R)` how unlike each reference looks. A look
        is averaged over the frames that follow each other: exchanged in a single one, a reference would flash.
        """
        chosen = self.references[places]
        begins = self.begins[places]
        for begin in np.unique(begins) if other.any() else ():
            run = begins == begin
            weights = nearby(places[run], begins[run])
            looks = weights @ other[run]
            exchanged = np.take_along_axis(looks, chosen[run], axis=1).max(1, keepdims=True) > 0
            if exchanged.any():
                pose = costs(self.points[places[run]], self.face.pool_points[:], still[run], self.face.pool_still)
                nearer = undercut(weights @ pose + _OTHER * looks, chosen[run])
                chosen[run] = np.where(exchanged, nearer, chosen[run])
        return chosen

    @cached_property
    def sketches(self) -> Sketches:
        """Of these frames."""
        return Sketches(self.points)


def nearby(places: NDArray[np.intp], begins: NDArray[np.intp]) -> NDArray[np.float32]:
    """How much each of n frames counts in the mean around each, `(n, n)`: itself most, those of other runs nothing;
    rows add up to 1.

    `places`, `begins`: `(n,)`, indices of the frames and of the beginnings of their unbroken runs.
    """
    weights = np.maximum(0, AROUND - np.abs(np.subtract.outer(places, places)))
    weights *= begins[:, None] == begins
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def predict_mouth(
    backend: Backend,
    config: ModelConfig,
    store: ArrayStore,
    face: Face,
    timeline: Timeline,
    speech: Speech,
    strength: float,
) -> MouthTrack | None:
    """Predict jaw and lips run by run, close the lips in silence, and select the references of every frame.

    The points go to `store`. None if no frame shows the face.
    """
    rows = face.rows(timeline.index)
    frames = np.flatnonzero(rows >= 0)
    if not len(frames):
        return None
    rows, times = rows[frames], timeline.times[frames]
    points = face.points[rows]
    begins, ends = _runs(frames, timeline)
    k, pool = config.references_per_frame, face.pool_points[:]
    chosen = np.zeros((len(frames), min(k, len(pool))), np.intp)
    rest = resting_opening(face.landmarks)
    silent = 1 - speaking(speech.voicing, times)
    for begin in np.unique(begins):
        run = slice(begin, ends[begin] + 1)
        pose, content = points[run, :NUM_POSE], points[run, NUM_POSE:]
        predict_in_pieces(backend, speech.mel, times[run], pose, face.landmarks, config.window, content)
        for part in parts(len(content)):
            asked = driven(points[run][part], face.landmarks, config.drive * strength)
            filmed = face.points[rows[run][part]][:, NUM_POSE:]
            content[part] = with_jaw_ends(close_lips(asked, silent[run][part], rest), filmed)
        still = still_points(face.transforms[rows[run]])
        chosen[run] = nearest(costs(points[run], pool, still, face.pool_still), k)
    heard = partial(mel_windows, speech.mel)
    return MouthTrack(face, frames, times, rows, store.put(points), chosen, begins, ends, heard)


def _runs(frames: NDArray[np.intp], timeline: Timeline) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Start and end of the unbroken run of each frame, in which output and source both advance frame by frame; at least
    one frame."""
    whole = (np.diff(frames) == 1) & timeline.follows[frames[1:]]
    starts = np.concatenate([[0], np.flatnonzero(~whole) + 1])
    lengths = np.diff(np.concatenate([starts, [len(frames)]]))
    return np.repeat(starts, lengths), np.repeat(starts + lengths - 1, lengths)
