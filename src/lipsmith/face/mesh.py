"""The 478-point face mesh of one face in one picture, and the bundle that holds its network and the detector's."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import WeightsError
from lipsmith.face.crop import Square, around, direction

BUNDLE = "face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
DETECTOR = "face_detector.tflite"
LANDMARKS = "face_landmarks_detector.tflite"

_STDERR = threading.Lock()
"""The process has one stderr: of two threads that redirect it at once, one would not restore it."""

POINTS = 478
SIZE = 256
MARGIN = 1.5
"""The landmark network was trained on squares of 1.5 times the face's box."""
EYE_CORNERS = (33, 263)


@lru_cache(maxsize=1)
def read_bundle() -> dict[str, bytes]:
    """The bundle's files by name.

    Raises:
        WeightsError: the package's copy is missing or is not the published file.
    """
    path = resources.files("lipsmith") / "assets" / BUNDLE
    if not path.is_file():
        raise WeightsError(f"{path}: the face model is missing; install lipsmith again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise WeightsError(f"{path}: the face model is not the published file; install lipsmith again")
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        return {name: bundle.read(name) for name in (DETECTOR, LANDMARKS)}


@contextmanager
def _native_stderr_discarded() -> Iterator[None]:
    """LiteRT prints a line in each process that none of its settings turns off; real failures raise exceptions."""
    with _STDERR:
        sys.stderr.flush()
        kept = os.dup(2)
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class Network:
    """One network of the bundle; it takes one image at a time."""

    def __init__(self, name: str, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _native_stderr_discarded():
            self._interpreter = Interpreter(model_content=read_bundle()[name], num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs, in the model file's order, for one image (S, S, 3) float32."""
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return list(map(self._interpreter.get_tensor, self._outputs))


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
