"""Lips found again in the generated picture: where they should be, and whether they tremble.

Lip landmark distance (LipLMD, paper section 4.1) and jitter, both at a crop of 128 pixels.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import INNER_LIP, OUTER_LIP
from lipsmith.face.mesh import FaceMesh, mesh_square

SIDE: Final = 128
"""Pixels of the crop in which distances are told."""
_LIPS: Final = list(OUTER_LIP + INNER_LIP)


def redetect(detector: FaceMesh, crops: NDArray[np.uint8], where: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Lips `(F, 40, 2)` found in crops `(F, S, S, 3)`, in pixels of a crop of 128.

    `where`: `(F, 478, 2)` crop units, the mesh of the real film: it says where to look, and is the same for the
    real and the generated picture. A detector's own bias is therefore in both.
    """
    size = crops.shape[1]
    meshes = [
        detector(crop, mesh_square((mesh * size).astype(np.float32)))[0]
        for crop, mesh in zip(crops, where, strict=True)
    ]
    return np.stack(meshes)[:, _LIPS] * np.float32(SIDE / size)


def lip_lmd(generated: NDArray[np.float32], real: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean distance of the lip points of each frame `(F,)`, pixels at 128, lower is better.

    `generated`, `real`: `(F, 40, 2)` as `redetect` finds them.
    """
    return np.asarray(np.linalg.norm(generated - real, axis=-1).mean(-1), np.float64)


def jitter(lips: NDArray[np.float32]) -> float:
    """Mean length of the lip points' second difference over time, pixels at 128 per frame squared.

    `lips`: `(F, 40, 2)` of successive frames. Lower is steadier; speech itself has some: compare with the real film.
    NaN for fewer than three frames.
    """
    if len(lips) < 3:
        return float("nan")
    bend = lips[2:] - 2 * lips[1:-1] + lips[:-2]
    return float(np.linalg.norm(bend, axis=-1).mean())
