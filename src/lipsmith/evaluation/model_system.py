"""Evaluates a model folder as a system, with the same stages in the same order as in a dub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.mouth import nearby
from lipsmith.dubbing.paste.detail import Detail, Region, details, with_detail
from lipsmith.dubbing.paste.native import with_amplitude
from lipsmith.dubbing.paste.shut_lips import line_depth
from lipsmith.evaluation.systems import ReconstructionTask
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.face.references import choose_landmarks, choose_pool, costs, nearest
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import ModelConfig, find_model, load_backend
from lipsmith.inference.render import Drawing, Sketches, encode_face, render
from lipsmith.inference.speak import driven, predict_content

_AT_ONCE: Final = 8


class ModelSystem:
    """A trained model. `references` and `lips` override the numbers of references and lip references (None: as
    trained).

    Without `detail`, crops larger than the model's own are its upscaled picture.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        config: ModelConfig,
        *,
        references: int | None = None,
        lips: int | None = None,
        detail: bool = True,
    ) -> None:
        self.name = name
        self._backend = backend
        self._config = config
        self._lips = lips or config.lips
        self._references = references
        self._detail = detail

    @property
    def size(self) -> int:
        """Side of the model's own crops, pixels."""
        return self._config.face_size

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """Crops `(T, S, S, 3)` of the model's size or larger; larger ones get detail from the references."""
        if task.predicted:
            task = replace(task, points=self._driven(task))
        if task.images.shape[1] == self.size:
            return np.concatenate([drawing.images for drawing in self._drawings(task, self._pool(task))])
        return self._large(task)

    def _large(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """Like `reconstruct`, for crops larger than the model's."""
        side, size, pool = task.images.shape[1], self.size, self._pool(task)
        small = replace(task, images=resized(task.images, size), upper=resized(task.upper, size))
        native = [with_amplitude(task.images[frame]) for frame in pool]
        depth = line_depth(native.__getitem__, task.landmarks[pool])
        chosen = self._chosen(task, pool)
        crops: list[NDArray[np.uint8]] = []
        enlarged = Region(_enlarging(size, side), side, side, size)
        everywhere = np.ones((size, size), np.float32)
        for drawing in self._drawings(small, pool):
            places = np.arange(len(crops), len(crops) + len(drawing.images))
            lent: Sequence[Detail | None] = [None] * len(places)
            if self._detail:
                near = nearby(places, np.zeros_like(places))
                lent = details(native.__getitem__, drawing, chosen[places], task.points[places], near, depth)
            for number, drawn, detail in zip(places, drawing.images, lent, strict=True):
                if detail is not None:
                    crop = with_detail(drawn.astype(np.float32), detail, enlarged, everywhere)
                else:
                    crop = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
                crop[: side // 2] = task.upper[number, : side // 2]
                crops.append(np.clip(crop + 0.5, 0, 255).astype(np.uint8))
        return np.stack(crops)

    def _chosen(self, task: ReconstructionTask, pool: NDArray[np.intp]) -> NDArray[np.intp]:
        """Indices `(T, k)` of each target's references in the pool."""
        return _others(task, pool, min(self._config.references_per_frame, len(np.unique(pool))))

    def _drawings(self, task: ReconstructionTask, pool: NDArray[np.intp]) -> Iterator[Drawing]:
        """The targets rendered at the model's own size, a few at a time."""
        points = task.landmarks[pool]
        face = encode_face(
            self._backend, task.images[pool], points, task.still[pool], choose_pool(points, None, self._lips)
        )
        chosen, sketches = self._chosen(task, pool), Sketches(task.points)
        first, last = np.zeros(1, np.intp), np.full(1, len(task.points) - 1)
        for start in range(0, len(task.targets), _AT_ONCE):
            places = np.arange(start, min(start + _AT_ONCE, len(task.targets)))
            yield render(
                self._backend,
                face,
                task.upper[places],
                task.points[places],
                task.still[task.targets[places]],
                sketches.around(places, first, last, self.size),
                task.mel[places],
                chosen[places],
            )

    def speak(
        self,
        mel: NDArray[np.float32],
        times: NDArray[np.float64],
        points: NDArray[np.float32],
        known: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Points `(T, 131, 2)` with lips and jaw predicted from speech.

        `mel`: `(80, steps)`; `times`: `(T,)` seconds in it; `points`: `(T, 131, 2)`, of which only the pose is used;
        `known`: `(A, 131, 2)`, the allowed frames.
        """
        references = known[choose_landmarks(known)]
        content = predict_content(self._backend, mel, times, points[:, :NUM_POSE], references, self._config.window)
        return np.concatenate([points[:, :NUM_POSE], content], axis=1)

    def _driven(self, task: ReconstructionTask) -> NDArray[np.float32]:
        """The points to render, with the same drive as in a dub, so that the picture gets those of `task`."""
        known = task.landmarks[task.allowed]
        content = driven(task.points, known[choose_landmarks(known)], self._config.drive)
        return np.concatenate([task.points[:, :NUM_POSE], content], axis=1)

    def _pool(self, task: ReconstructionTask) -> NDArray[np.intp]:
        if self._references is None:
            return task.pool
        return task.allowed[choose_pool(task.landmarks[task.allowed], None, self._references)]


def resized(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Pictures `(F, S, S, 3)` downscaled to `(F, side, side, 3)` by area means; the same pictures if `side` is S."""
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])


def _enlarging(size: int, side: int) -> NDArray[np.float64]:
    """The transform from pixels of a crop of `side` to pixels of a crop of `size`, in OpenCV's convention."""
    scale = size / side
    return np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5]])


def load_system(
    name: str,
    model: str,
    device: str = "auto",
    threads: int | None = None,
    *,
    references: int | None = None,
    lips: int | None = None,
    detail: bool = True,
) -> ModelSystem:
    """The model of that name or folder as a system, with the options of `ModelSystem`. Raises WeightsError if
    missing."""
    folder = find_model(model)
    settings = folder.settings  # first, because it says of a model that does not dub what is wrong
    backend = load_backend(folder, device, threads)
    return ModelSystem(name, backend, settings, references=references, lips=lips, detail=detail)


def _others(task: ReconstructionTask, pool: NDArray[np.intp], used: int) -> NDArray[np.intp]:
    """Pool indices `(T, used)` of the `used` references nearest to each target, or fewer, excluding the target itself.

    A pool of a single frame is also used for that frame.
    """
    cost = costs(task.points, task.landmarks[pool], task.still[task.targets], task.still[pool])
    own = task.targets[:, None] == pool
    if not own.any():
        return nearest(cost, used)
    cost[own] = np.inf
    used = min(used, max(1, int((~own).sum(1).min())))
    return np.argsort(cost, axis=1, kind="stable")[:, :used]
