"""How one face says the speech: its points in every frame of the timeline, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.faces import FaceTrack
from lipsmith.dubbing.timeline import Timeline
from lipsmith.face.crop import still_points
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.face.references import costs, nearest, parts
from lipsmith.face.sketch import draw_sketches
from lipsmith.inference.backend import Backend
from lipsmith.inference.speak import predict_content
from lipsmith.speech.mel import mel_windows
from lipsmith.speech.recording import Speech
from lipsmith.speech.voicing import close_lips, resting_opening, speaking

# A frame is drawn with the line drawings of two neighbours on either side.
_NEIGHBOURS: Final = np.arange(-2, 3)
# Frames predicted at a time, and those that the next piece predicts again, from which it fades in.
_PIECE: Final = 200
_OVERLAP: Final = 50


@dataclass(frozen=True)
class Performance:
    """A face in the `n` frames of the timeline in which it is seen."""

    track: FaceTrack
    frames: NDArray[np.intp]
    """(n,) output frame numbers, rising."""
    rows: NDArray[np.intp]
    """(n,) rows in the track's arrays."""
    points: NDArray[np.float32]
    """(n, 131, 2), crop units, as they will be drawn."""
    references: NDArray[np.intp]
    """(n, k) ranks in the pool."""
    begins: NDArray[np.intp]
    """(n,) place at which each frame's unbroken run begins."""
    ends: NDArray[np.intp]
    """(n,) place at which each frame's unbroken run ends, inclusive."""

    def sketches(self, part: slice, size: int) -> NDArray[np.uint8]:
        """The five line drawings `(b, 5, size, size)` of each frame at the places `part`."""
        places = np.arange(part.start, part.stop)[:, None] + _NEIGHBOURS
        places = np.clip(places, self.begins[part, None], self.ends[part, None])
        first = int(places.min())
        return draw_sketches(self.points[first : int(places.max()) + 1], size)[places - first]


def perform(backend: Backend, track: FaceTrack, timeline: Timeline, speech: Speech, window: int, k: int) -> Performance:
    """Predict what the mouth does, run by run, and choose the references of every frame."""
    rows = track.rows(timeline.index)
    frames = np.flatnonzero(rows >= 0)
    rows = rows[frames]
    points = track.points[rows]
    begins, ends = _runs(frames, rows, timeline)
    chosen = np.zeros((len(frames), min(k, len(track.pool_points))), np.intp)
    rest = resting_opening(track.landmarks)
    silent = 1 - speaking(speech.voicing, timeline.times[frames])
    for begin in np.unique(begins):
        run = slice(begin, ends[begin] + 1)
        times = timeline.times[frames[run]]
        pose, content = points[run, :NUM_POSE], points[run, NUM_POSE:]
        _predict(backend, speech, times, pose, track.landmarks, window, content)
        for part in parts(len(times)):
            content[part] = close_lips(content[part], silent[run][part], rest)
        still = still_points(track.transforms[rows[run]])
        chosen[run] = nearest(costs(points[run], track.pool_points, still, track.pool_still), k)
    return Performance(track, frames, rows, points, chosen, begins, ends)


def _predict(
    backend: Backend,
    speech: Speech,
    times: NDArray[np.float64],
    pose: NDArray[np.float32],
    references: NDArray[np.float32],
    window: int,
    content: NDArray[np.float32],
) -> None:
    """Write one run's `content` `(F, 57, 2)`, predicted in pieces that overlap and are faded into each other."""
    for piece in parts(len(times), _PIECE):
        begin = max(0, piece.start - _OVERLAP)
        whole = slice(begin, piece.stop)
        found = predict_content(backend, speech.mel, times[whole], pose[whole], references, window)
        shared = piece.start - begin
        share = np.linspace(0, 1, shared + 2)[1:-1, None, None]
        content[begin : piece.start] += share * (found[:shared] - content[begin : piece.start])
        content[piece] = found[shared:]


def heard(speech: Speech, performance: Performance, timeline: Timeline, part: slice) -> NDArray[np.float32]:
    """The mel windows `(b, 80, 16)` of the frames at the places `part`."""
    return mel_windows(speech.mel, timeline.times[performance.frames[part]])


def _runs(
    frames: NDArray[np.intp], rows: NDArray[np.intp], timeline: Timeline
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where the unbroken run of each frame begins and ends: output and source both go on frame by frame."""
    whole = (np.diff(frames) == 1) & timeline.follows[frames[1:]] & (np.abs(np.diff(rows)) <= 1)
    starts = np.concatenate([[0], np.flatnonzero(~whole) + 1]) if len(frames) else np.zeros(0, np.intp)
    lengths = np.diff(np.concatenate([starts, [len(frames)]]))
    return np.repeat(starts, lengths), np.repeat(starts + lengths - 1, lengths)
