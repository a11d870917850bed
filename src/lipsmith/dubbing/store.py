"""Reference crops of a whole film, on disk: a film with many shots has more of them than memory should hold."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import LipsmithError


@dataclass(frozen=True)
class Stored:
    """Where an array lies in its `CropStore`."""

    offset: int
    shape: tuple[int, ...]


class CropStore:
    """Arrays of bytes in one temporary file, which the system removes when the process ends, however it ends."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="lipsmith-")  # noqa: SIM115 - lives as long as the store
        self._end = 0
        self._lock = Lock()

    def put(self, images: NDArray[np.uint8]) -> Stored:
        """Keep `images`; raises `LipsmithError` where the temporary folder is full."""
        with self._lock:
            try:
                self._file.seek(self._end)
                self._file.write(np.ascontiguousarray(images).data)
                self._file.flush()
            except OSError as error:
                folder = tempfile.gettempdir()
                raise LipsmithError(
                    f"Reference pictures do not fit into {folder} ({error.strerror}); set TMPDIR to a folder with room."
                ) from error
            place = Stored(self._end, images.shape)
            self._end += images.nbytes
        return place

    def get(self, place: Stored) -> NDArray[np.uint8]:
        """The array that lies at `place`."""
        with self._lock:
            self._file.seek(place.offset)
            content = self._file.read(int(np.prod(place.shape)))
        return np.frombuffer(content, np.uint8).reshape(place.shape)
