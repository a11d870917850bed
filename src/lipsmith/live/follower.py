"""Selects the references of frames that come one by one."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.references import MEAN_FRAMES, undercut


class Follower:
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
            self._chosen = undercut(mean, self._chosen)
        return self._chosen
