"""Writes a prepared clip under temporary names and renames it once it is complete."""

from __future__ import annotations

import secrets
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import av
import numpy as np
from numpy.typing import NDArray

from lipsmith.data.prepare.layouts import PARTIAL

_CRF: Final = "14"  # 38 to 41 dB of RGB on real faces at 128 px, two more at crf 10; full chroma keeps lip color


class ClipWriter:
    """Writes crops one by one, then the clip's arrays; a context manager that leaves no partial file."""

    def __init__(self, path: Path, side: int, fps: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._film = path.with_name(path.name + ".mp4")
        self._arrays = path.with_name(path.name + ".npz")
        # Short names, because the clip's name may have the maximum length.
        self._film_partial, self._arrays_partial = (
            path.with_name(f".{secrets.token_hex(6)}{PARTIAL}") for _ in ("film", "arrays")
        )
        self._container = av.open(str(self._film_partial), "w", format="mp4")
        options = {"crf": _CRF, "preset": "veryfast"}
        rate = Fraction(fps).limit_denominator(1001)
        stream = self._container.add_stream("libx264", rate=rate, options=options)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv444p"
        stream.thread_count = 1
        self._stream = stream

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append one crop `(S, S, 3)` RGB."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def commit(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Finish the film, write the arrays, and rename both."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        with self._arrays_partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        self._film_partial.replace(self._film)
        self._arrays_partial.replace(self._arrays)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()
        self._film_partial.unlink(missing_ok=True)
        self._arrays_partial.unlink(missing_ok=True)
