"""One face's mouth, frame by frame: lips and jaw from what was heard so far, and the references that show them."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.dubbing.scan import Face
from lipsmith.face.crop import still_points
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.face.references import Follower, costs
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import ModelConfig
from lipsmith.inference.speak import RATE, close_lips, resample, resting_opening, run_windows, with_strength
from lipsmith.live.hearing import Hearing
from lipsmith.live.walk import Walk

RIGHT_CONTEXT: Final = 2
"""Frames at 25 a second after the one that is drawn which the landmark generator sees."""
_NEIGHBORS: Final = 2
"""Frames on either side whose sketches the renderer takes."""
_BRIDGED: Final = 5
"""Frames within which the next one still follows: a slow machine skips some."""


class LiveMouth:
    """Causal twin of `lipsmith.dubbing.mouth.predict_mouth`; frames are asked for in order, some may be skipped."""

    def __init__(self, backend: Backend, config: ModelConfig, face: Face, walk: Walk, interval: float) -> None:
        """`interval`: seconds between output frames."""
        self._backend, self._config, self._walk, self._interval = backend, config, walk, interval
        self.face = face
        self._rest = resting_opening(face.landmarks)
        self._follower = Follower(min(config.references_per_frame, len(face.pool_points)))
        self._before: deque[NDArray[np.float32]] = deque(maxlen=_NEIGHBORS)
        self._last = -_BRIDGED - 1

    def track(self, number: int, hearing: Hearing, strength: float) -> MouthTrack | None:
        """The mouth in output frame `number` alone, with its neighbors for the sketches; None where it is not seen."""
        rows = self.face.rows(self._walk.index(np.arange(number, number + _NEIGHBORS + 1)))
        if rows[0] < 0:
            return None
        unbroken = int(np.argmax(rows < 0)) if (rows < 0).any() else len(rows)
        rows = rows[:unbroken]
        times = np.asarray((number + np.arange(len(rows))) * self._interval, np.float64)
        points = self.face.points[rows].copy()
        points[:, NUM_POSE:] = self._content(number, times, points, hearing, strength)
        follows = 0 < number - self._last <= _BRIDGED
        if not follows:
            self._before.clear()
            self._follower.restart()
        chosen = self._choose(points[0], rows[0])
        windows = hearing.windows(times[:1])
        track = self._as_track(number, rows, times, points, chosen, windows, follows)
        self._before.append(points[0])
        self._last = number
        return track

    def _content(
        self,
        number: int,
        times: NDArray[np.float64],
        points: NDArray[np.float32],
        hearing: Hearing,
        strength: float,
    ) -> NDArray[np.float32]:
        """Lips and jaw `(n, 57, 2)` at `times` `(n,)`, the first that of the frame: one window of the generator."""
        length = self._config.window
        ticks: NDArray[np.float64] = times[0] + np.arange(RIGHT_CONTEXT + 1 - length, RIGHT_CONTEXT + 1) / RATE
        pose = self._poses(number, ticks)
        window = run_windows(self._backend, hearing.tokens(ticks)[None], pose[None], self.face.landmarks)[0]
        content = resample(window, ticks, times)
        moved = with_strength(
            np.concatenate([points[:, :NUM_POSE], content], axis=1), self.face.landmarks, self._config.drive * strength
        )
        return close_lips(moved, 1 - hearing.voiced(times), self._rest)

    def _poses(self, number: int, ticks: NDArray[np.float64]) -> NDArray[np.float32]:
        """Pose `(n, 74, 2)` at `ticks`; where the face is not seen, that of the nearest frame that shows it."""
        reach = int(np.ceil((ticks[-1] - ticks[0]) / self._interval)) + 1
        numbers = np.arange(number - reach, number + reach)
        rows = self.face.rows(self._walk.index(numbers))
        seen = np.flatnonzero(rows >= 0)
        nearest = seen[np.abs(np.arange(len(rows))[:, None] - seen).argmin(1)]
        pose = self.face.points[rows[nearest], :NUM_POSE]
        return resample(pose, np.asarray(numbers * self._interval, np.float64), ticks)

    def _choose(self, points: NDArray[np.float32], row: np.intp) -> NDArray[np.intp]:
        still = still_points(self.face.transforms[[row]])
        return self._follower(costs(points[None], self.face.pool_points, still, self.face.pool_still)[0])

    def _as_track(
        self,
        number: int,
        rows: NDArray[np.intp],
        times: NDArray[np.float64],
        points: NDArray[np.float32],
        chosen: NDArray[np.intp],
        windows: NDArray[np.float32],
        follows: bool,
    ) -> MouthTrack:
        """Neighbors before the frame are as they were drawn, those after it as they are expected."""
        before = len(self._before)
        count = before + len(rows)
        first = number - before
        return MouthTrack(
            face=self.face,
            frames=np.arange(first, first + count),
            times=np.concatenate([times[0] - np.arange(before, 0, -1) * self._interval, times]),
            rows=np.concatenate([np.full(before, rows[0]), rows]),
            points=np.concatenate([*(p[None] for p in self._before), points]),
            references=np.repeat(chosen[None], count, axis=0),
            begins=np.full(count, 0 if follows else before),
            ends=np.full(count, count - 1),
            heard=lambda _: windows,
        )
