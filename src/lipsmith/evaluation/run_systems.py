"""Evaluates the folder of a training run: our renderer without a landmark generator, Wav2Lip or IP_LAP, on torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.config import build
from lipsmith.errors import UsageError, WeightsError
from lipsmith.evaluation.baselines import under
from lipsmith.evaluation.model_system import ModelSystem, load_system, resized
from lipsmith.evaluation.systems import ReconstructionTask, System
from lipsmith.face.landmarks import NUM_POSE, draw_sketches, parts
from lipsmith.face.references import choose_pool, paper_pool_size
from lipsmith.inference.model_folder import ModelConfig, read_card
from lipsmith.inference.render import Sketches, pixels, planes
from lipsmith.inference.stages import renderer_stages
from lipsmith.inference.torch import TorchBackend, torch_device
from lipsmith.inference.weights import with_weights
from lipsmith.models.peers.config import IplapConfig, Wav2LipConfig
from lipsmith.models.peers.iplap import EncodedReferences, IplapRenderer
from lipsmith.models.peers.wav2lip import Wav2Lip, generate
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer

CARD, _WEIGHTS = "renderer.json", "renderer.safetensors"
_WINDOW: Final = 5
"""Frames per window of a landmark generator, which such a run does not have: any number does."""
_AT_ONCE: Final = 4


class Wav2LipSystem:
    """Wav2Lip's generator: lips from the speech alone, in the crop's lower half.

    The published system takes the target's own frame as the reference, which would show it the truth here. Instead it
    gets the allowed frame nearest in pose, which is all that it could know of the target.
    """

    def __init__(self, name: str, network: Wav2Lip, device: str) -> None:
        self.name = name
        self._network, self._device = network, device

    @torch.inference_mode()
    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """Crops `(T, S, S, 3)` of any size, generated at 96 pixels."""
        references = task.images[_nearest_pose(task)]
        crops = []
        for at in parts(len(task.targets), _AT_ONCE):
            inputs = planes(task.upper[at]), planes(references[at]), task.mel[at, None].astype(np.float32)
            faces = generate(self._network, *(torch.from_numpy(x).to(self._device) for x in inputs))
            crops.append(faces.cpu().numpy())
        return under(task.upper, pixels(np.concatenate(crops)))


class IplapSystem:
    """IP_LAP's renderer with references at ranks of lip opening, in the crop's lower half."""

    def __init__(self, name: str, network: IplapRenderer, device: str) -> None:
        self.name = name
        self._network, self._device = network, device

    @torch.inference_mode()
    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """Crops `(T, S, S, 3)`, generated at the network's size."""
        size, side = self._network.config.face_size, task.images.shape[1]
        pool = ranked(task, self._network.config.ranks)
        images, upper = resized(task.images[pool], size), resized(task.upper, size)
        drawn = draw_sketches(task.landmarks[pool], size)[..., None]
        encoded = self._network.encode(*(self._tensor(planes(each))[None] for each in (images, drawn)))
        chosen = torch.from_numpy(_without_own(task, pool)).to(self._device)
        ends = np.zeros(1, np.intp), np.full(1, len(task.points) - 1)
        drawings, crops = Sketches(task.points), []
        for at in parts(len(task.targets), _AT_ONCE):
            places = np.arange(at.start, at.stop)
            sketches = drawings.around(places, *ends, size).astype(np.float32) / np.float32(255)
            references = EncodedReferences(*(x[0, chosen[at]] for x in (encoded.images, encoded.full, encoded.half)))
            inputs = planes(upper[at]), sketches, task.mel[at, None].astype(np.float32)
            image, _ = self._network(*(self._tensor(x) for x in inputs), references)
            crops.append(image.cpu().numpy())
        return under(task.upper, _enlarged(pixels(np.concatenate(crops)), side))

    def _tensor(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


class RunSystem:
    """A run of our renderer. It renders the landmarks that it is given, and predicts none."""

    def __init__(self, name: str, model: ModelSystem, ranks: int) -> None:
        self.name = name
        self._model, self._ranks = model, ranks

    @property
    def size(self) -> int:
        """Side of its own crops, pixels."""
        return self._model.size

    def reconstruct(self, task: ReconstructionTask) -> NDArray[np.uint8]:
        """See `ModelSystem`; with `ranks`, all references are at ranks of lip opening."""
        pool = ranked(task, self._ranks) if self._ranks else task.pool
        return self._model.reconstruct(replace(task, pool=pool))


def load_variant(
    name: str,
    folder: str,
    device: str = "auto",
    threads: int | None = None,
    references: int | None = None,
    lips: int | None = None,
) -> System:
    """The model, or the training run of a renderer, of that name or folder.

    `references`, `lips`: numbers that replace those of its config. Raises WeightsError if it is missing, UsageError for
    numbers with a run of another system.
    """
    if not (Path(folder) / CARD).is_file():
        return load_system(name, folder, device, threads, references=references, lips=lips)
    training, place = read_card(folder, "renderer")["training"], torch_device(device)
    model, where, weights = training.get("model"), f"{Path(folder) / CARD}: training.model", Path(folder) / _WEIGHTS
    system = training.get("system")
    if system is not None and (references or lips):
        raise UsageError(f"{folder} is a run of {system}, whose number of references and lips is fixed.")
    if system == "wav2lip":
        generator = Wav2Lip(build(Wav2LipConfig, model, where, WeightsError))
        return Wav2LipSystem(name, with_weights(generator, weights).to(place), place)
    if system == "iplap":
        renderer = IplapRenderer(build(IplapConfig, model, where, WeightsError))
        return IplapSystem(name, with_weights(renderer, weights).to(place), place)
    config = build(RendererConfig, model, where, WeightsError)
    if references:
        config = replace(config, references=references, ranks=references if config.ranks else 0)
    return _run_system(name, weights, replace(config, lips=lips or config.lips), place)


def _run_system(name: str, weights: Path, config: RendererConfig, device: str) -> RunSystem:
    network = with_weights(Renderer(config), weights)
    settings = ModelConfig(
        name=name,
        face_size=config.face_size,
        references_per_frame=config.ranks or config.references,
        lips=config.lips,
        window=_WINDOW,
        drive=config.drive,
    )
    return RunSystem(name, ModelSystem(name, TorchBackend(renderer_stages(network), device), settings), config.ranks)


def ranked(task: ReconstructionTask, most: int) -> NDArray[np.intp]:
    """At most `most` allowed frames at evenly spaced ranks of lip opening, a fifth of them at most, as published."""
    count = min(most, paper_pool_size(len(task.allowed)))
    return task.allowed[choose_pool(task.landmarks[task.allowed], None, count)]


def _without_own(task: ReconstructionTask, pool: NDArray[np.intp]) -> NDArray[np.intp]:
    """Indices `(T, k)` into the pool; a target that is in it gets the next rank instead of itself."""
    ranks = np.arange(len(pool))
    other = np.where(ranks + 1 < len(pool), ranks + 1, ranks - 1)
    return np.asarray(np.where(task.targets[:, None] == pool, other, ranks), np.intp)


def _nearest_pose(task: ReconstructionTask) -> NDArray[np.intp]:
    """The allowed frame `(T,)` nearest to each target in pose, and not the target itself."""
    pose = task.landmarks[:, :NUM_POSE].reshape(len(task.landmarks), -1)
    apart = np.linalg.norm(pose[task.targets][:, None] - pose[task.allowed], axis=-1)
    apart[task.targets[:, None] == task.allowed] = np.inf
    nearest: NDArray[np.intp] = task.allowed[apart.argmin(1)]
    return nearest


def _enlarged(crops: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.stack([cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC) for crop in crops])
