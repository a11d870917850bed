"""Footage in memory: arrays or Pillow images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.source import Footage, Frames, check_stretch
from lipsmith.errors import InputError, UsageError
from lipsmith.media import Frame
from lipsmith.media.color import Picture
from lipsmith.media.pictures import shown

if TYPE_CHECKING:
    from PIL.Image import Image


_LOWEST_RATE: Final = 1e-3
"""Frames per second; lower rates are mistakes, and their fractions overflow."""


class ArraySource:
    """Frames in memory, `(H, W, 3)` uint8 RGB of one size."""

    def __init__(
        self,
        images: Frames,
        rate: float,
        start: float | None = None,
        end: float | None = None,
    ) -> None:
        check_stretch(start, end)
        rate, images = _frame_rate(rate), _checked(images)
        last = None if end is None else int(min(np.ceil(end * rate - 1e-6), len(images)))
        begin = int(np.ceil((start or 0.0) * rate - 1e-6))
        self._images = images[begin:last]
        if not len(self._images):
            remedy = "choose an earlier start" if start else "choose a later end"
            raise InputError(f"The footage has no frame from {start or 0:g} s on; {remedy}.")
        self._first = begin / rate
        self.footage = Footage("the footage", Fraction(rate).limit_denominator(1001 * 240), len(self._images))

    def frames(self) -> Iterator[Frame]:
        """Every frame in order."""
        step = float(1 / self.footage.rate)
        for index, image in enumerate(self._images):
            yield Frame(image, self._first + index * step, index)

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
        """Images in the order of a walk."""
        return (self._images[index] for index in order)


def _checked(images: Frames) -> Sequence[NDArray[np.uint8]] | NDArray[np.uint8]:
    """The frames as arrays. Raises `UsageError` for what is no sequence, `InputError` for an empty or invalid one."""
    if not _is_sequence(images):
        kind = type(images).__name__
        is_stream = isinstance(images, Iterator) and not hasattr(images, "read")
        reason = "cannot be read twice" if is_stream else "is neither a path nor frames"
        raise UsageError(f"Footage of type {kind} {reason}; give a path or a list of frames.")
    if not len(images):
        raise InputError("The footage is an empty sequence; give at least one frame.")
    arrays = images if isinstance(images, np.ndarray) else [_array(image) for image in images]
    first = arrays[0].shape
    is_rgb = len(first) == 3 and first[2] == 3 and 0 not in first
    for number, array in enumerate(arrays):
        if not is_rgb or array.shape != first or array.dtype != np.uint8:
            found = f"Frame {number} of the footage has shape {array.shape} and type {array.dtype}"
            raise InputError(f"{found}; give RGB uint8 arrays (H, W, 3) of one size.")
    return arrays


def _is_sequence(images: object) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim > 0
    return hasattr(images, "__len__") and not isinstance(images, bytes | bytearray | Mapping)


def _frame_rate(rate: float) -> float:
    """Any real number of frames a second as a float. Raises `UsageError` for anything else."""
    try:
        number = math.nan if isinstance(rate, bool) else float(rate)
    except (TypeError, ValueError):
        number = math.nan
    if not _LOWEST_RATE <= number < math.inf:
        raise UsageError(f"Frame rate {rate} is not a number above 0; give the footage's frames per second.")
    return number


def _array(image: object) -> NDArray[Any]:
    """A frame as an array; Pillow images become what viewers show."""
    try:
        return shown(cast("Image", image), "A frame")[0] if hasattr(image, "getexif") else np.asarray(image)
    except ValueError as error:
        raise InputError(f"A frame of type {type(image).__name__} is not a picture ({error}); give arrays.") from error
