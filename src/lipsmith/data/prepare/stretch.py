"""Frames of one shot become a prepared clip in one pass, with memory that does not grow with length.

A crop depends on its neighbours' poses (smoothing, gaps that are interpolated), so frames wait a moment: until the
poses round them are known. Only the pictures wait; geometry is small and stays until the clip is whole.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.data.prepare.store import ClipWriter
from lipsmith.face import crop
from lipsmith.face.landmarks import Floats, select

_LARGE: Final = 640  # px; of larger pictures the part round the face waits, as small as its crop allows
_MARGIN: Final = 0.5  # crop sides round that part


class _Part(NamedTuple):
    """A part of a source picture, perhaps shrunk."""

    image: NDArray[np.uint8]
    origin: NDArray[np.float64]
    """Its corner (x, y) in the source."""
    step: NDArray[np.float64]
    """Source pixels to one of its own, across and down."""

    def crop(self, transform: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
        """The crop by a transform `(2, 3)` from source pixels."""
        linear, shift = transform[:, :2], transform[:, 2]
        own = np.column_stack([linear * self.step, shift + linear @ self.origin])
        return crop.crop_image(self.image, own, size)


class Stretch:
    """A run of frames that follows one face; `add` each frame, then `finish`."""

    def __init__(self, writer: ClipWriter, size: int, fps: float) -> None:
        self._writer = writer
        self._size = size
        self._reach = max(1, round(3 * crop.SMOOTHING_SECONDS * fps))
        self._waiting: deque[_Part] = deque()
        self._meshes: list[NDArray[np.float32]] = []  # source pixels at first, crop units once their transform is known
        self._raw: list[NDArray[np.float64]] = []
        self._smooth: list[NDArray[np.float64]] = []
        self.times: list[float] = []
        self.tracked: list[bool] = []

    @property
    def gap(self) -> float:
        """Seconds since a face was last seen."""
        last = len(self.tracked) - 1 - self.tracked[::-1].index(True)
        return self.times[-1] - self.times[last]

    def add(self, image: NDArray[np.uint8], time: float, mesh: NDArray[np.float32] | None) -> None:
        """Append a frame; `mesh` `(478, 2)` in source pixels, None where the face is lost. The first has a face."""
        self.times.append(time)
        self.tracked.append(mesh is not None)
        if mesh is not None:
            transform = crop.fit_transforms(select(mesh[None]))[0]
            self._close_gap(mesh, transform)
            self._meshes.append(mesh)
            self._raw.append(transform)
        self._waiting.append(self._part(image))
        self._emit(len(self._raw) - self._reach)

    def finish(self) -> dict[str, NDArray[Any]]:
        """Write what waits and return the clip's geometry; frames after the last seen face are dropped."""
        frames = len(self._raw)
        self._emit(frames)
        mesh = np.stack(self._meshes)
        times = np.array(self.times[:frames])
        return {
            "landmarks": select(mesh),
            "mesh": mesh.astype(np.float16),
            "transforms": np.stack(self._smooth).astype(np.float32),
            "times": times - times[0],
            "tracked": np.array(self.tracked[:frames]),
        }

    def _close_gap(self, mesh: NDArray[np.float32], transform: NDArray[np.float64]) -> None:
        missing = len(self.times) - 1 - len(self._raw)
        before_mesh, before = (self._meshes[-1], self._raw[-1]) if self._raw else (mesh, transform)
        for step in range(1, missing + 1):
            share = step / (missing + 1)
            self._meshes.append(((1 - share) * before_mesh + share * mesh).astype(np.float32))
            self._raw.append((1 - share) * before + share * transform)

    def _emit(self, ready: int) -> None:
        for index in range(len(self._smooth), ready):
            transform = self._smoothed(index)
            self._smooth.append(transform)
            self._meshes[index] = crop.apply(transform, self._meshes[index]).astype(np.float32)
            self._writer.write(self._waiting.popleft().crop(transform, self._size))

    def _smoothed(self, index: int) -> NDArray[np.float64]:
        reach = min(self._reach, index, len(self._raw) - 1 - index)
        part = slice(index - reach, index + reach + 1)
        smooth = crop.smooth_transforms(np.stack(self._raw[part]), np.array(self.times[part]))
        return np.asarray(smooth[reach])

    def _part(self, image: NDArray[np.uint8]) -> _Part:
        height, width = image.shape[:2]
        if max(height, width) <= _LARGE:
            return _Part(image, np.zeros(2), np.ones(2))
        inverse = crop.invert(self._raw[-1])
        corners: Floats = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (1 + 2 * _MARGIN) - _MARGIN
        box = crop.apply(inverse, corners)
        x0, y0 = np.clip(box.min(0), 0, (width - 2, height - 2)).astype(int)
        x1, y1 = np.clip(box.max(0), (x0 + 2, y0 + 2), (width, height)).astype(int)
        # Means of areas, as `crop.crop_image` would take; many pictures wait where a face is lost for a moment.
        reduction = max(1, int(np.hypot(*inverse[:, 0]) / self._size))
        columns, rows = max(1, (x1 - x0) // reduction), max(1, (y1 - y0) // reduction)
        small = cv2.resize(image[y0:y1, x0:x1], (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
        step = np.array([(x1 - x0) / columns, (y1 - y0) / rows])
        return _Part(np.asarray(small, np.uint8), np.array([x0, y0], np.float64), step)
