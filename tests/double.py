"""A stand-in for the networks: cheap, predictable, of the same interface."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from lipsmith import Dubber
from lipsmith.face.landmarks import NUM_JAW, NUM_POSE, mouth_box
from lipsmith.inference.backend import Precision
from lipsmith.inference.model_folder import ModelConfig

SIZE, ROWS = 64, 40
SIZES = {"face_size": SIZE, "references_per_frame": 3, "lips": 5, "window": 5}
CONFIG = ModelConfig(name="double", face_size=SIZE, references_per_frame=3, lips=5, window=5)

Floats = NDArray[np.float32]


class Double:
    """Opens the mouth with the loudness of the speech and draws the mean of its references below the target's eyes."""

    name = "a stand-in"
    precision: Precision = "float"

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self._lock = Lock()

    def __call__(self, stage: str, /, **inputs: Floats) -> tuple[Floats, ...]:
        with self._lock:
            self.calls[stage] = self.calls.get(stage, 0) + len(next(iter(inputs.values())))
        outputs: tuple[Floats, ...] = getattr(self, f"_{stage}")(**inputs)
        return outputs

    def _speech(self, mel: Floats) -> tuple[Floats, ...]:
        return (np.broadcast_to(mel.mean((1, 2, 3))[:, None], (len(mel), 4)).astype(np.float32),)

    def _landmarks(self, tokens: Floats, pose: Floats, references: Floats) -> tuple[Floats, ...]:
        content = np.repeat(references[:, None, :, NUM_POSE:].mean(2), tokens.shape[1], axis=1)
        opening = 0.02 * (tokens[..., 0] + 4)
        content[:, :, NUM_JAW + 20 + 11 :, 1] += opening[..., None]
        return (content.astype(np.float32),)

    def _reference(self, image: Floats, sketch: Floats) -> tuple[Floats, ...]:
        small = image[:, :, ::4, ::4]
        return image[:, :, ::2, ::2], np.concatenate([small, small], 1), image

    def _lip(self, image: Floats, sketch: Floats) -> tuple[Floats, ...]:
        return (image[:, :, ::8, ::8],)

    def _guess(self, points: Floats, reference_points: Floats, **others: Floats) -> tuple[Floats, ...]:
        unmoved = _unmoved(reference_points, ROWS // 4, SIZE // 4)
        return unmoved, unmoved, np.ones((len(points), 1, ROWS // 4, SIZE // 4), np.float32)

    def _align(self, known: Floats, moving: Floats, **others: Floats) -> tuple[Floats, ...]:
        half, full = (_unmoved(moving, ROWS // step, SIZE // step) for step in (2, 1))
        upper = full[(..., *mouth_box(ROWS, SIZE))]
        features = np.zeros((len(known), 1, 1, 3), np.float32)
        return moving, half, full, upper, upper[:, 0, 0], np.ones_like(moving[:, :, 0]), features, features

    def _paint(self, pictures: Floats, **others: Floats) -> tuple[Floats, ...]:
        lower = pictures.mean(1).transpose(0, 3, 1, 2)[:, :, -SIZE // 2 :]
        return lower, np.full((*pictures.shape[:2], ROWS // 4, SIZE // 4), 1 / pictures.shape[1], np.float32)


def _unmoved(given: Floats, rows: int, columns: int) -> Floats:
    """Return the positions of cells of the lower part of a crop, for each target and reference of `given`."""
    y, x = (np.mgrid[:rows, :columns] + 0.5) / columns
    positions = np.stack([x, y + 1 - rows / columns]).astype(np.float32)
    return np.tile(positions, (*given.shape[:2], 1, 1, 1))


def make_dubber(backend: Double | None = None, threads: int | None = None) -> Dubber:
    """Return a dubber that needs no weights."""
    return Dubber(backend or Double(), CONFIG, threads)
