"""Compares how faces look: a reference may have a caption, a microphone or a hand over the chin, or be blurred."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import Floats, ranks

_LIPS: Final = ranks((17, 17, 17, 17, 84, 84, 84, 314, 314, 314, 91, 91, 321, 321, 61, 61, 291, 291))
_JAW: Final = ranks((152, 152, 152, 152, 148, 148, 148, 377, 377, 377, 149, 149, 378, 378, 136, 136, 365, 365))
_WAY: Final = np.array([30, 55, 80, 95, 50, 80, 95, 50, 80, 95, 40, 70, 40, 70, 35, 65, 35, 65], np.float32) / 100
"""Places on the skin: points on the lips and on the jaw, and the share of the way between them."""
_PATCH: Final = 0.06
"""Side of the patch of skin whose mean color counts, crop units."""
_WORST: Final = 3
"""Places that decide, those of the largest difference: a caption covers few."""
_ALIKE, _UNLIKE = 32.0, 52.0
"""Difference of color, of 255, up to which light explains it, and from which something covers the skin."""
_SOFT, _TOO_SOFT = 0.5, 0.25
"""Sharpness, as a share of the frame's, below which a reference is soft, and at which it is too blurred for it."""


class Appearance(NamedTuple):
    """How n faces look."""

    colors: NDArray[np.float32]
    """(n, 18, 3) mean colors of patches of chin and cheeks."""
    sharpness: NDArray[np.float32]
    """(n,) of the lower half, `sharpness_of`."""


def sharpness_of(image: NDArray[np.uint8]) -> float:
    """Square of the Laplacian of the green channel of a crop `(h, w, 3)`, median over 64 tiles; low for blurred crops.

    A caption or a microphone is in few tiles, so it does not make a crop sharp.
    """
    green = image[..., 1].astype(np.float32)
    laplacian = green[:-2, 1:-1] + green[2:, 1:-1] + green[1:-1, :-2] + green[1:-1, 2:] - 4 * green[1:-1, 1:-1]
    return float(np.median(cv2.resize(np.square(laplacian), (8, 8), interpolation=cv2.INTER_AREA)))


def appearance(images: NDArray[np.uint8], points: Floats) -> Appearance:
    """The appearance of crops `(n, S, S, 3)` with `points` `(n, 131, 2)`, crop units."""
    half = images.shape[1] // 2
    lower = images[:, half:]
    places = points[:, _LIPS] + _WAY[:, None] * (points[:, _JAW] - points[:, _LIPS])
    pixels = np.clip((2 * half * places - (0, half)).astype(int), 0, np.array(lower.shape[2:0:-1]) - 1)
    patch = 2 * int(_PATCH * half) + 1
    colors = [cv2.blur(image, (patch, patch))[at[:, 1], at[:, 0]] for image, at in zip(lower, pixels, strict=True)]
    sharpness = [sharpness_of(image) for image in lower]
    return Appearance(np.stack(colors).astype(np.float32), np.array(sharpness, np.float32))


def unlike(frame: Appearance, pool: Appearance) -> NDArray[np.float32]:
    """How unlike a frame each reference looks, `(R,)`, from 0 (at most the light differs) to 1.

    1 is a reference whose skin is covered where the frame's is not, or the other way round, or that is too blurred.
    """
    apart = np.abs(pool.colors - frame.colors).max(2)
    covered = np.sort(apart, axis=1)[:, -_WORST:].mean(1)
    share = pool.sharpness / np.maximum(frame.sharpness, 1e-6)
    found: NDArray[np.float32] = np.maximum(
        np.clip((covered - _ALIKE) / (_UNLIKE - _ALIKE), 0, 1), np.clip((_SOFT - share) / (_SOFT - _TOO_SOFT), 0, 1)
    )
    return found


def is_absent(frame: Appearance, pool: Appearance) -> bool:
    """Whether a frame shows something else in the place of the face, such as a flash or a card: half of its patches
    differ from those of every reference by more than light does."""
    apart = np.abs(pool.colors - frame.colors).max(2)
    return bool((np.median(apart, axis=1) > _UNLIKE).all())
