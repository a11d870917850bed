"""The face landmarker bundle: a zip of two small networks, run on LiteRT."""

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
from typing import TYPE_CHECKING

import numpy as np

from lipsmith.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUNDLE = "face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
DETECTOR = "face_detector.tflite"
LANDMARKS = "face_landmarks_detector.tflite"

_STDERR = threading.Lock()
"""The process has one stderr: of two threads that redirect it at once, one would not restore it."""


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
        return [self._interpreter.get_tensor(index) for index in self._outputs]
