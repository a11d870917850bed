"""Endless footage: a clip plays forward and back for as long as the session lasts."""

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


class LoopedFootage:
    """Source frame and image of each output frame. A context manager that may hold a temporary file."""

    def __init__(self, clip: Clip) -> None:
        self._times = clip.times
        self._stack = ExitStack()
        self._source = self._store(clip) if isinstance(clip.source, FileSource) else clip.source

    def __enter__(self) -> LoopedFootage:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def index(self, number: NDArray[np.intp]) -> NDArray[np.intp]:
        """Source frames `(n,)` of the output frames `number` `(n,)`; negative numbers give the first frame."""
        last = len(self._times) - 1
        if not last:
            return np.zeros_like(number)
        position = np.maximum(number, 0) % (2 * last)
        return np.asarray(np.minimum(position, 2 * last - position), np.intp)

    def images(self) -> Generator[Image, None, None]:
        """The images `(H, W, 3)` of the output frames 0, 1, 2 and so on."""
        cycle = self.index(np.arange(max(1, 2 * len(self._times) - 2)))
        while True:
            yield from map(np.asarray, self._source.show(cycle, self._times))

    def _store(self, clip: Clip) -> Source:
        """Copy the frames to a file with fast random access; playing a film backward decodes it block by block."""
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="lipsmith-")))
        path, order = folder / "frames.avi", np.arange(len(clip.times))
        write_lossless(path, clip.source.show(order, clip.times))
        return StoredSource(path, clip.source.footage, clip.times)


def skip(images: Iterator[Image], count: int) -> Image:
    """Skip `count` images and return the next one."""
    for _ in range(count):
        next(images)
    return next(images)
