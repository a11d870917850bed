"""The 478-point face mesh of one face in one picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.bundle import LANDMARKS, Network
from lipsmith.face.square import Square, around, direction

POINTS = 478
SIZE = 256
MARGIN = 1.5
"""The landmark network was trained on squares of 1.5 times the face's box."""
EYE_CORNERS = (33, 263)


class FaceMesh:
    """Landmark network: predicts 478 points from a square with a face, and the probability that there is one."""

    def __init__(self, threads: int = 1) -> None:
        self._network = Network(LANDMARKS, threads)

    def __call__(self, image: NDArray[np.uint8], crop: Square) -> tuple[NDArray[np.float32], float]:
        """Mesh (478, 2) in source pixels and score in [0, 1].

        Args:
            image: RGB (H, W, 3).
            crop: about 1.5 times the face's box, eyes level; it may reach beyond the picture.
        """
        pixels = crop.pixels(image, SIZE, cv2.BORDER_REPLICATE)
        points, presence, *_ = self._network(np.multiply(pixels, np.float32(1 / 255), dtype=np.float32))
        mesh = points.reshape(POINTS, 3)[:, :2] / SIZE
        return crop.to_source(mesh), float(1 / (1 + np.exp(-presence.item())))


def mesh_square(mesh: NDArray[np.float32]) -> Square:
    """The crop in which the face is sought next: the box of mesh (478, 2), eyes level, enlarged by `MARGIN`."""
    right, left = EYE_CORNERS
    return around(mesh, direction(mesh[right], mesh[left]), MARGIN)
