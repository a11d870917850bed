"""Film strips: what should be, what was made, and how far apart they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FRAMES: Final = 6
_GAIN: Final = 4.0
"""Errors are small: this many times darker would be black."""


def strip(real: NDArray[np.uint8], generated: NDArray[np.uint8], is_truth: bool = True) -> NDArray[np.uint8]:
    """Six frames spread over crops `(T, S, S, 3)`, one row real, one generated, one of absolute errors.

    The last row, four times as bright as the error is, is left out where `real` is not what should have been made.
    """
    chosen = np.linspace(0, len(real) - 1, min(FRAMES, len(real))).round().astype(int)
    rows = [np.concatenate(list(crops[chosen]), axis=1) for crops in (real, generated)]
    if is_truth:
        rows.append(_errors(rows[0], rows[1]))
    return np.concatenate(rows)


def write_strip(folder: Path, clip: str, image: NDArray[np.uint8]) -> str:
    """Write the strip of a clip as PNG; returns the file's name in `folder`."""
    name = strip_name(clip)
    folder.mkdir(parents=True, exist_ok=True)
    coded = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1]
    (folder / name).write_bytes(coded.tobytes())
    return name


def strip_name(clip: str) -> str:
    """The file of a clip's strip: no two clips, such as `a/b` and `a_b`, share one."""
    return clip.replace("%", "%25").replace("/", "%2F") + ".png"


def _errors(real: NDArray[np.uint8], generated: NDArray[np.uint8]) -> NDArray[np.uint8]:
    difference = np.abs(real.astype(np.float32) - generated).mean(-1) * _GAIN
    coloured = cv2.applyColorMap(np.clip(difference, 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(coloured[..., ::-1], np.uint8)
