"""Endless footage: a clip plays forward and back for as long as the session lasts, at a constant rate."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.clip_folder import StoredSource
from lipsmith.dubbing.pipeline import Clip
from lipsmith.dubbing.source import ROUNDING, FileSource, Source, shown_rate, usual_interval
from lipsmith.media.lossless import write_lossless
from lipsmith.progress import prefetch

Image = NDArray[np.uint8]

_DECODED_AHEAD: Final = 16
"""Frames that are decoded in advance."""


class LoopedFootage:
    """Source frame and image of each output frame. A context manager that may hold a temporary file."""

    def __init__(self, clip: Clip) -> None:
        self._times = clip.times
        usual = usual_interval(clip.times, clip.source.footage.rate)
        long = np.maximum(1, np.floor(np.diff(clip.times) / usual + ROUNDING)).astype(np.intp)
        forward = np.repeat(np.arange(len(clip.times)), np.append(long, 1))
        self._cycle = np.concatenate([forward, forward[-2:0:-1]])
        with ExitStack() as stack:
            self._source = self._store(clip, stack) if isinstance(clip.source, FileSource) else clip.source
            self._stack = stack.pop_all()  # otherwise, where the frames cannot be stored, the folder would stay

    def __enter__(self) -> LoopedFootage:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def index(self, number: NDArray[np.intp]) -> NDArray[np.intp]:
        """Source frames `(n,)` of the output frames `number` `(n,)`; negative numbers give the first frame."""
        return np.asarray(self._cycle[np.maximum(number, 0) % len(self._cycle)], np.intp)

    def images(self, first: int = 0) -> Generator[Image, None, None]:
        """The images `(H, W, 3)` of the output frames `first`, `first` + 1 and so on."""
        cycle = np.roll(self._cycle, -first)
        while True:
            yield from map(np.asarray, self._source.show(cycle, self._times))

    def _store(self, clip: Clip, stack: ExitStack) -> Source:
        """Copy the frames to a file with fast random access; playing a film backward decodes it block by block."""
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="lipsmith-")))
        path, order = folder / "frames.avi", np.arange(len(clip.times))
        write_lossless(path, clip.source.show(order, clip.times))
        return StoredSource(path, clip.source.footage, clip.times)


class Playback:
    """The images of output frames with rising numbers, decoded in advance."""

    def __init__(self, footage: LoopedFootage) -> None:
        self._footage, self._next = footage, 0
        self._images = prefetch(footage.images(), _DECODED_AHEAD)

    def image(self, number: int) -> Image:
        """The image of frame `number`; few of those before it are decoded, however long the session stood still."""
        if number > self._next + _DECODED_AHEAD:
            self._images.close()
            self._images = prefetch(self._footage.images(number), _DECODED_AHEAD)
            self._next = number
        for _ in range(number - self._next):
            next(self._images)
        self._next = number + 1
        return next(self._images)

    def close(self) -> None:
        """End the thread that decodes."""
        self._images.close()


def frame_rate(clip: Clip) -> float:
    """Frames per second of a session: the film's average, or the usual rate where long frames lower the average."""
    return float(shown_rate(clip.times, clip.source.footage.rate))
