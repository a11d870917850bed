"""A stand-in for the networks: cheap, predictable, of the same interface."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from lipsmith import Dubber
from lipsmith.face.landmarks import NUM_JAW, NUM_POSE
from lipsmith.inference.backend import Precision
from lipsmith.inference.model_folder import ModelConfig

SIZE = 64
SIZES = {"face_size": SIZE, "references_per_frame": 3, "lips": 5, "window": 5}
CONFIG = ModelConfig(name="double", **SIZES)

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
        return image[:, :, ::2, ::2], image[:, :, ::4, ::4]

    def _lip(self, image: Floats, sketch: Floats) -> tuple[Floats, ...]:
        return (image[:, :, ::8, ::8],)

    def _render(self, target: Floats, reference_images: Floats, **others: Floats) -> tuple[Floats, ...]:
        image = target.copy()
        half = target.shape[2] // 2
        image[:, :, half:] = reference_images.mean(1)[:, :, half:]
        return (image,)


def make_dubber(backend: Double | None = None, threads: int | None = None) -> Dubber:
    """Return a dubber that needs no weights."""
    return Dubber(backend or Double(), CONFIG, threads)
