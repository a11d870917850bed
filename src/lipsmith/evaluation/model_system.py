"""A model folder as a system: the same stages, in the same order, as when a film is dubbed."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.strength import with_strength
from lipsmith.errors import InputError
from lipsmith.evaluation.systems import ReconstructionTask
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.face.references import choose_landmarks, choose_lips, choose_pool, costs, nearest
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import ModelConfig, find_model, load_backend
from lipsmith.inference.render import encode_face, render, sketches_around
from lipsmith.inference.speak import predict_content

_AT_ONCE: Final = 8


class ModelSystem:
    """A trained model. `references` and `lips` change how many of each it is shown (None: as trained)."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        config: ModelConfig,
        *,
        references: int | None = None,
        lips: int | None = None,
    ) -> None:
        self.name = name
        self._backend = backend
        self._config = config
        self._lips = lips or config.lips
        self._references = references

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """Crops `(T, S, S, 3)`. Raises InputError for clips of another side than the model's."""
        size = task.images.shape[1]
        if size != self._config.face_size:
            raise InputError(
                f"the clips have crops of {size} pixels and the model {self.name} wants {self._config.face_size}; "
                f"prepare the footage with --size {self._config.face_size}"
            )
        if task.predicted:
            task = replace(task, points=self._driven(task))
        pool = self._pool(task)
        points = task.landmarks[pool]
        face = encode_face(
            self._backend, task.images[pool], points, task.still[pool], choose_lips(points, None, self._lips)
        )
        used = min(self._config.references_per_frame, len(np.unique(pool)))
        chosen = _others(task, pool, used)
        first, last = np.zeros(1, np.intp), np.full(1, len(task.points) - 1)
        frames = []
        for start in range(0, len(task.targets), _AT_ONCE):
            places = np.arange(start, min(start + _AT_ONCE, len(task.targets)))
            frames.append(
                render(
                    self._backend,
                    face,
                    task.upper[places],
                    task.points[places],
                    task.still[task.targets[places]],
                    sketches_around(task.points, places, first, last, size),
                    task.mel[places],
                    chosen[places],
                ).images
            )
        return np.concatenate(frames)

    def speak(
        self,
        mel: NDArray[np.float32],
        times: NDArray[np.float64],
        points: NDArray[np.float32],
        known: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Points `(T, 131, 2)` with lips and jaw predicted from speech.

        `mel`: `(80, steps)`; `times`: `(T,)` seconds in it; `points`: `(T, 131, 2)`, of which only the pose is used;
        `known`: `(A, 131, 2)`, allowed frames.
        """
        references = known[choose_landmarks(known)]
        content = predict_content(self._backend, mel, times, points[:, :NUM_POSE], references, self._config.window)
        return np.concatenate([points[:, :NUM_POSE], content], axis=1)

    def _driven(self, task: ReconstructionTask) -> NDArray[np.float32]:
        """The points that are drawn so that the picture has those of `task`, as in a dub."""
        known = task.landmarks[task.allowed]
        content = with_strength(task.points, known[choose_landmarks(known)], self._config.drive)
        return np.concatenate([task.points[:, :NUM_POSE], content], axis=1)

    def _pool(self, task: ReconstructionTask) -> NDArray[np.intp]:
        if self._references is None:
            return task.pool
        return task.allowed[choose_pool(task.landmarks[task.allowed], None, self._references)]


def load_system(name: str, model: str, device: str = "auto", threads: int | None = None, **shown: int) -> ModelSystem:
    """The model of that name or folder as a system; `shown`: `references`, `lips`. Raises WeightsError."""
    folder = find_model(model)
    return ModelSystem(name, load_backend(folder, device, threads), folder.settings, **shown)


def _others(task: ReconstructionTask, pool: NDArray[np.intp], used: int) -> NDArray[np.intp]:
    """For each target the `used` nearest of the pool, `(T, used)` ranks; never the target itself, fewer if need be.

    (A pool of one frame serves that frame too.)
    """
    cost = costs(task.points, task.landmarks[pool], task.still[task.targets], task.still[pool])
    own = task.targets[:, None] == pool
    if not own.any():
        return nearest(cost, used)
    cost[own] = np.inf
    used = min(used, max(1, int((~own).sum(1).min())))
    return np.argsort(cost, axis=1, kind="stable")[:, :used]
