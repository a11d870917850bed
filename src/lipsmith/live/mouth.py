"""The mouth of one face, frame by frame: predicted lip and jaw points, and references to render them.

`LiveMouth` and `Leaders` choose as `lipsmith.dubbing` does, by the frames so far.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.draw import DrawnFace, DrawnFrame
from lipsmith.dubbing.mouth import AROUND, MouthTrack, nearby
from lipsmith.dubbing.paste.detail import Detail, leaders
from lipsmith.dubbing.scan import Face
from lipsmith.face.crop import still_points
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.face.references import MEAN_FRAMES, costs, undercut
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import ModelConfig
from lipsmith.inference.render import NEIGHBORS
from lipsmith.inference.speak import (
    RATE,
    close_lips,
    driven,
    resample,
    resting_opening,
    run_windows,
    with_jaw_ends,
)
from lipsmith.live.features import SpeechFeatures
from lipsmith.live.footage import LoopedFootage

RIGHT_CONTEXT: Final = 2
"""Frames, at 25 per second, after the current one in the window of the landmark generator."""
_MAX_GAP: Final = 5
"""Largest step between frame numbers that counts as continuous; a slow machine skips frames."""


class LiveMouth:
    """Streaming version of `lipsmith.dubbing.mouth.predict_mouth`; takes frames in order, some may be skipped."""

    def __init__(
        self, backend: Backend, config: ModelConfig, face: Face, footage: LoopedFootage, interval: float
    ) -> None:
        """`interval`: seconds between output frames."""
        self._backend, self._config, self._footage, self._interval = backend, config, footage, interval
        self.face = face
        self._rest = resting_opening(face.landmarks)
        self._follower = _Follower(min(config.references_per_frame, len(face.pool_points)))
        self._previous: deque[NDArray[np.float32]] = deque(maxlen=NEIGHBORS)
        self._last = -_MAX_GAP - 1

    def track(self, number: int, features: SpeechFeatures, strength: float) -> MouthTrack | None:
        """The mouth in output frame `number`, with its neighbors for the sketches; None if no face is tracked there."""
        rows = self.face.rows(self._footage.index(np.arange(number, number + NEIGHBORS + 1)))
        rows = rows[np.logical_and.accumulate(rows >= 0)]  # up to the first frame without the face
        if not len(rows):
            return None
        times = np.asarray((number + np.arange(len(rows))) * self._interval, np.float64)
        points = self.face.points[rows].copy()
        points[:, NUM_POSE:] = self._content(number, times, points, features, strength)
        if not 0 < number - self._last <= _MAX_GAP:
            self._previous.clear()
            self._follower.restart()
        chosen = self._choose_references(points[0], rows[0])
        windows = features.windows(times[:1])
        track = self._as_track(number, rows, times, points, chosen, windows)
        self._previous.append(points[0])
        self._last = number
        return track

    def _content(
        self,
        number: int,
        times: NDArray[np.float64],
        points: NDArray[np.float32],
        features: SpeechFeatures,
        strength: float,
    ) -> NDArray[np.float32]:
        """Content points `(n, 57, 2)` at `times` `(n,)`, of which the first is the frame, from one generator window."""
        length = self._config.window
        window_times: NDArray[np.float64] = times[0] + np.arange(RIGHT_CONTEXT + 1 - length, RIGHT_CONTEXT + 1) / RATE
        pose = self._poses(number, window_times)
        window = run_windows(self._backend, features.tokens(window_times)[None], pose[None], self.face.landmarks)[0]
        content = resample(window, window_times, times)
        asked = driven(
            np.concatenate([points[:, :NUM_POSE], content], axis=1), self.face.landmarks, self._config.drive * strength
        )
        closed = close_lips(asked, 1 - features.voice_activity(times), self._rest)
        return with_jaw_ends(closed, points[:, NUM_POSE:])

    def _poses(self, number: int, window_times: NDArray[np.float64]) -> NDArray[np.float32]:
        """Pose points `(n, 74, 2)` at `window_times`; untracked frames take those of the nearest tracked frame."""
        span = int(np.ceil((window_times[-1] - window_times[0]) / self._interval)) + 1
        numbers = np.arange(number - span, number + span)
        rows = self.face.rows(self._footage.index(numbers))
        tracked = np.flatnonzero(rows >= 0)
        nearest = tracked[np.abs(np.arange(len(rows))[:, None] - tracked).argmin(1)]
        pose = self.face.points[rows[nearest], :NUM_POSE]
        return resample(pose, np.asarray(numbers * self._interval, np.float64), window_times)

    def _choose_references(self, points: NDArray[np.float32], row: np.intp) -> NDArray[np.intp]:
        still = still_points(self.face.transforms[[row]])
        return self._follower(costs(points[None], self.face.pool_points[:], still, self.face.pool_still)[0])

    def _as_track(
        self,
        number: int,
        rows: NDArray[np.intp],
        times: NDArray[np.float64],
        points: NDArray[np.float32],
        chosen: NDArray[np.intp],
        windows: NDArray[np.float32],
    ) -> MouthTrack:
        """Combine earlier frames, as rendered, with the current and later ones, as predicted."""
        before = len(self._previous)
        count = before + len(rows)
        return MouthTrack(
            face=self.face,
            frames=np.arange(number - before, number + len(rows)),
            times=np.concatenate([times[0] - np.arange(before, 0, -1) * self._interval, times]),
            rows=np.concatenate([np.full(before, rows[0]), rows]),
            points=np.concatenate([*(p[None] for p in self._previous), points]),
            references=np.repeat(chosen[None], count, axis=0),
            begins=np.zeros(count, np.intp),
            ends=np.full(count, count - 1),
            heard=lambda _: windows,
        )


class Leaders:
    """The leaders of `lipsmith.dubbing.paste.detail` in frames that come one by one, by the frames before alone."""

    def __init__(self) -> None:
        self._recent: defaultdict[int, deque[tuple[int, Detail]]] = defaultdict(partial(deque, maxlen=AROUND))

    def steadied(self, frame: DrawnFrame, mouths: Sequence[MouthTrack]) -> DrawnFrame:
        """The frame, which follows those before it, with its leaders; `mouths`: those of its faces."""
        faces = zip(mouths, frame.faces, strict=True)
        return replace(frame, faces=[face and self._led(frame.number, mouth, face) for mouth, face in faces])

    def _led(self, number: int, mouth: MouthTrack, face: DrawnFace) -> DrawnFace:
        if face.detail is None:
            return face
        recent = self._recent[mouth.face.index]
        if mouth.frames[0] == number:  # no neighbor precedes it
            recent.clear()
        recent.append((number, face.detail))
        numbers, known = np.array([one for one, _ in recent]), [detail for _, detail in recent]
        near = nearby(numbers, np.zeros_like(numbers))
        ranks = leaders(np.stack([one.within for one in known]), np.stack([one.references for one in known]), near)
        return replace(face, detail=replace(face.detail, leader=int(ranks[-1])))


class _Follower:
    """`face.references.nearest` for frames that come one by one: it averages over past frames alone."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.restart()

    def restart(self) -> None:
        """Forget the past: the next frame does not follow the last one."""
        self._recent: deque[NDArray[np.float32]] = deque(maxlen=MEAN_FRAMES + 1)
        self._chosen: NDArray[np.intp] | None = None

    def __call__(self, cost: NDArray[np.float32]) -> NDArray[np.intp]:
        """The references `(k,)` of the next frame, of which `cost` `(R,)` is as of `costs`."""
        self._recent.append(cost)
        mean = np.asarray(np.mean(self._recent, axis=0), np.float32)
        if self._chosen is None:
            self._chosen = np.argsort(mean, kind="stable")[: self._k]
        else:
            (self._chosen,) = undercut(mean[None], self._chosen[None])
        return self._chosen
