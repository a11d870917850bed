"""Keeps arrays in a temporary file, so that memory does not grow with the length of a film."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from mmap import ACCESS_READ, ALLOCATIONGRANULARITY, mmap
from os import SEEK_END
from threading import Lock
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lipsmith.errors import LipsmithError


@dataclass(frozen=True, eq=False)
class Stored:
    """A read-only array in the temporary file of an `ArrayStore`; indexing reads only what it selects."""

    file: IO[bytes]
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: Any) -> NDArray[Any]:  # noqa: ANN401 - any index of an array
        return np.array(self._mapped()[part])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._mapped(), dtype)

    def _mapped(self) -> NDArray[Any]:
        """The whole array, of which only the pages that are read take memory, and only while it exists."""
        begin = self.offset // ALLOCATIONGRANULARITY * ALLOCATIONGRANULARITY
        pages = mmap(self.file.fileno(), 0, access=ACCESS_READ, offset=begin)
        return np.ndarray(self.shape, self.dtype, pages, self.offset - begin)


class ArrayStore:
    """Arrays in one temporary file, which the system removes when the process ends, even after a crash."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="lipsmith-")  # noqa: SIM115 - lives as long as the store
        self._lock = Lock()

    def put(self, array: NDArray[Any]) -> Stored:
        """Store `array`, not empty; raises `LipsmithError` if the temporary folder is full."""
        with self._lock:
            try:
                offset = self._file.seek(0, SEEK_END)
                self._file.write(np.ascontiguousarray(array).data)
                self._file.flush()
            except OSError as error:
                folder = f"{tempfile.gettempdir()} ({error.strerror})"
                raise LipsmithError(f"The faces do not fit into {folder}; set TMPDIR to a larger folder.") from error
        return Stored(self._file, offset, array.shape, array.dtype)
