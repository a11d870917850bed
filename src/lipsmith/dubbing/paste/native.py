"""The references' own pixels, and the amplitude of their fine detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import crop_image, crop_side
from lipsmith.face.landmarks import Floats, Rows
from lipsmith.face.references import decoded

LARGEST: Final = 512
"""Side of the largest native crop, pixels."""
WORTH: Final = 150
"""Minimum side of a crop in the film, pixels, at which native crops have more detail than those of the networks."""
TOP: Final = 0.45
"""Top of native crops in crop units; nothing above it is rendered."""
_FINE: Final = 0.8
"""Deviation, in pixels of a native crop, of the Gaussian that leaves no fine detail."""
_AROUND: Final = 9
"""Side, in the same pixels, of the square in which its amplitude is measured."""
_SHARPENED: Final = 1.2
"""Factor of fine detail, everywhere."""
_MOST_AMPLIFIED: Final = 3.0
"""Largest further factor of detail that the mean of references has weakened."""
_TEXTURE: Final = 3.0
"""Amplitude, levels, beyond which detail is an edge and amplified less, because it may lie beside the true one."""
_STEPS: Final = 4
"""Steps per level in which amplitudes are kept."""


@dataclass(frozen=True, eq=False)
class NativeCrops:
    """The native crops of R references, cut from pictures that are kept as JPEG, in less than half of the room."""

    jpegs: Rows
    """(bytes,) uint8: the pictures, one after the other."""
    ends: NDArray[np.intp]
    """(R,): where each picture ends."""
    transforms: NDArray[np.float64]
    """(R, 2, 3): from the pixels of each picture to crop units."""
    side: int
    """Side N of the crops, pixels."""

    @classmethod
    def of(cls, jpegs: Sequence[NDArray[np.uint8]], transforms: Sequence[Floats], side: int) -> NativeCrops:
        """Crops of R pictures of `lipsmith.face.references.encoded`."""
        ends = np.cumsum([jpeg.size for jpeg in jpegs], dtype=np.intp)
        return cls(np.concatenate([jpeg.ravel() for jpeg in jpegs]), ends, np.stack(transforms), side)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, rank: int) -> NDArray[np.uint8]:
        """The crop `(rows, N, 4)` of one reference, `with_amplitude`."""
        return with_amplitude(crop_image(decoded(self.jpeg(rank)), self.transforms[rank], self.side))

    def jpeg(self, rank: int) -> NDArray[np.uint8]:
        """The picture of one reference, `(bytes,)`."""
        return self.jpegs[self.ends[rank - 1] if rank else 0 : self.ends[rank]]


def native_side(transforms: Floats) -> int | None:
    """Side of the native crops of a face with `transforms` `(F, 2, 3)`; None if they have no additional detail."""
    side = crop_side(np.median(np.asarray(transforms, np.float64), axis=0))
    return min(LARGEST, round(side)) if side >= WORTH else None


def with_amplitude(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A native crop `(N, N, 3)` from `TOP` down, with the amplitude of its fine detail as the fourth channel:
    `(rows, N, 4)`. OpenCV samples four channels twice as fast as three.
    """
    below = cv2.cvtColor(crop[int(TOP * len(crop)) :], cv2.COLOR_RGB2RGBA)
    gray = np.asarray(cv2.cvtColor(below, cv2.COLOR_RGBA2GRAY), np.float32)
    below[..., 3] = np.minimum(_STEPS * _amplitude(_fine(gray, 1.0), 1.0) + 0.5, 255)
    return np.asarray(below, np.uint8)


def amplified(lent: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    """A mean of references `(h, w, 4)` whose fine detail has their amplitude: `(h, w, 3)`.

    What is not at the same place in all of them, such as pores and stubble, is weaker in their mean, and bilinear
    sampling weakens all of it. (The variance-preserving blending of Heitz and Neyret, 2018, with measured variances.)
    `pixels`: pixels of the mean per pixel of a native crop.
    """
    image = np.asarray(cv2.cvtColor(lent, cv2.COLOR_RGBA2RGB), np.float32)
    fine = _fine(image, pixels)
    amplitude = np.maximum(_amplitude(np.asarray(cv2.cvtColor(fine, cv2.COLOR_RGB2GRAY), np.float32), pixels), 0.1)
    further = np.clip(lent[..., 3] / (_STEPS * amplitude), 1, _MOST_AMPLIFIED) - 1
    gain = _SHARPENED * (1 + further * np.minimum(1, _TEXTURE / amplitude)) - 1
    return np.asarray(cv2.add(image, cv2.multiply(fine, cv2.merge([gain, gain, gain]))), np.float32)


def _fine(image: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    """The fine detail of an image `(h, w)` or `(h, w, 3)`; `pixels`: its pixels per pixel of a native crop."""
    return np.asarray(cv2.subtract(image, cv2.GaussianBlur(image, (0, 0), _FINE * pixels)), np.float32)


def _amplitude(fine: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    """Deviation of fine detail `(h, w)` around each pixel, levels."""
    around = max(3, round(_AROUND * pixels))
    power = cv2.sqrBoxFilter(fine, cv2.CV_32F, (around, around))
    return np.sqrt(np.maximum(power, 0), dtype=np.float32)  # rounding may leave less than 0
