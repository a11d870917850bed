"""Stores lossless frames on disk with random access, for footage that is shown in any order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from av.video.frame import VideoFrame

from lipsmith.disk import not_written
from lipsmith.errors import InputError
from lipsmith.media.color import Picture
from lipsmith.media.container import require_video

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CODEC: Final = "utvideo"
_PLANES: Final = "gbrp"
_RATE: Final = 25


def write_lossless(path: Path, images: Iterable[Picture]) -> None:
    """Write RGB images `(H, W, 3)` of one size to the AVI file `path`, about a third of their size in memory.

    Raises `LipsmithError` if the disk is full.
    """
    try:
        with av.open(str(path.absolute()), "w", format="avi") as container:
            stream = container.add_stream(_CODEC, rate=_RATE)
            stream.pix_fmt = _PLANES
            for number, image in enumerate(images):
                if number == 0:
                    stream.height, stream.width = image.shape[:2]
                frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(frame.reformat(format=_PLANES)))
            container.mux(stream.encode(None))
    except (OSError, av.FFmpegError) as error:
        raise not_written(path, error) from error


class LosslessFrames:
    """Reads frames of `write_lossless` in any order, from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open `path`. Raises `InputError` if it is missing or damaged."""
        self._path, self._next = path, 0
        try:
            self._container = av.open(str(path.absolute()), "r", format="avi")
        except (OSError, av.FFmpegError) as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}); prepare the clip again.") from error
        self._stream = require_video(self._container, path)
        self._stream.codec_context.thread_count = 1  # several threads would delay frames
        self._packets = self._container.demux(self._stream)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Image `(H, W, 3)` number `index`. Raises `InputError` if the file is damaged."""
        try:
            if index != self._next:
                self._container.seek(index, stream=self._stream)
                self._packets = self._container.demux(self._stream)
            (frame,) = self._stream.decode(next(self._packets))
            self._next = -1 if frame.pts is None else frame.pts + 1
            if self._next != index + 1:
                raise ValueError("seeking found another frame")
        except (OSError, ValueError, StopIteration, av.FFmpegError) as error:
            raise InputError(f"{self._path}: frame {index} cannot be read; prepare the clip again.") from error
        return np.ascontiguousarray(frame.to_ndarray(format="rgb24"))

    def close(self) -> None:
        """Close the file."""
        self._container.close()
