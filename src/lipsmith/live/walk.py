"""Footage without an end: forward and back, never a jump, as long as the session lasts."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.clip_folder import StoredSource
from lipsmith.dubbing.pipeline import Clip
from lipsmith.dubbing.source import FileSource, Source
from lipsmith.media.lossless import write_lossless

Image = NDArray[np.uint8]


class Walk:
    """Which source frame each output frame shows, and its image. A context manager: it may hold a temporary file."""

    def __init__(self, clip: Clip) -> None:
        self._times = clip.times
        self._opened = ExitStack()
        self._source = self._stored(clip) if isinstance(clip.source, FileSource) else clip.source

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def index(self, number: NDArray[np.intp]) -> NDArray[np.intp]:
        """Source frames `(n,)` of the output frames `number` `(n,)`; those before 0 stand on the first."""
        last = len(self._times) - 1
        if not last:
            return np.zeros_like(number)
        at = np.maximum(number, 0) % (2 * last)
        return np.asarray(np.minimum(at, 2 * last - at), np.intp)

    def images(self) -> Generator[Image, None, None]:
        """The image `(H, W, 3)` of output frame 0, 1, 2 and so on."""
        cycle = self.index(np.arange(max(1, 2 * len(self._times) - 2)))
        while True:
            yield from map(np.asarray, self._source.show(cycle, self._times))

    def _stored(self, clip: Clip) -> Source:
        """The clip's frames in a file that is read in any order; a film's own codec goes backward block by block."""
        folder = Path(self._opened.enter_context(TemporaryDirectory(prefix="lipsmith-")))
        film, order = folder / "frames.avi", np.arange(len(clip.times))
        write_lossless(film, clip.source.show(order, clip.times))
        return StoredSource(film, clip.source.footage, clip.times)


def skipped(images: Iterator[Image], count: int) -> Image:
    """The image after the next `count`."""
    for _ in range(count):
        next(images)
    return next(images)
