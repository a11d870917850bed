"""Exports trained weights as a model folder: config, half-precision weights, checked ONNX stages, and a card."""

from __future__ import annotations

import json
import logging
import warnings
from ast import literal_eval
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from lipsmith.config import build
from lipsmith.disk import write_whole_folder
from lipsmith.errors import UsageError, WeightsError
from lipsmith.face.landmarks import NUM_POINTS, NUM_POSE
from lipsmith.inference.model_folder import RECORD, write_config
from lipsmith.inference.onnx import INT8, open_session
from lipsmith.inference.render import NEIGHBORS
from lipsmith.inference.stages import load_stages
from lipsmith.inference.weights import WEIGHTS, halved, write_tensors
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import build_landmark_generator
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.release.card import model_card
from lipsmith.release.networks import origin_of, read_network, require_match
from lipsmith.speech.mel import MELS

_LOG = logging.getLogger(__name__)
OPSET: Final = 18
_SCOPES: Final = "pkg.torch.onnx.name_scopes"
ABSOLUTE, RELATIVE = 1e-4, 1e-3
"""Largest difference allowed between ONNX Runtime and torch."""

Axes = Mapping[str, tuple[int | str, ...]]

OUTPUTS: Final[dict[str, tuple[str, ...]]] = {
    "speech": ("tokens",),
    "landmarks": ("content",),
    "reference": ("fine", "coarse", "sharp"),
    "lip": ("lips",),
    "guess": ("moving", "standing", "remoteness"),
    "align": ("quarter", "half", "lower", "upper", "above", "weight", "target_fine", "target_coarse"),
    "paint": ("drawn", "share"),
}


def export(
    landmarks: Path | str,
    renderer: Path | str,
    folder: Path,
    name: str,
    *,
    data: str,
    hardware: str,
    license: str | None,
) -> None:
    """Write the model folder `folder` from the runs `landmarks` and `renderer`; either may be a model whose part is
    reused.

    The folder is created or replaced only after all checks have passed. A model may be given by name. `data`,
    `hardware` and `license` describe the training data, the hardware and the terms of the model, for the card. Raises
    UsageError if weights derive from a model and no license is given, or for networks that a dub cannot run;
    WeightsError if a run has no weights, or if a stage on ONNX Runtime differs from torch by more than 0.1 % and 1e-4.
    """
    of_landmarks, landmark_weights = read_network(landmarks, "landmarks")
    of_renderer, renderer_weights = read_network(renderer, "renderer")
    if system := of_renderer["training"].get("system"):
        raise UsageError(f"{renderer} is a run of {system}, which no dub can use; evaluate it as a variant.")
    origin = origin_of(landmarks, "landmarks") or origin_of(renderer, "renderer")
    if origin and license is None:
        raise UsageError(
            f"Weights derive from {origin}, whose license is in its CARD.md; give the license of {name} for its card."
        )
    face = build(RendererConfig, of_renderer["training"].get("model"), str(renderer))
    mouth = build(LandmarkConfig, of_landmarks["training"].get("model"), str(landmarks))
    _require_dubbing(mouth, face)
    require_match(build_landmark_generator(mouth), landmark_weights, landmarks)
    require_match(Renderer(face), renderer_weights, renderer)
    config = _config(name, mouth, face)
    prefixed = {f"landmarks.{key}": value for key, value in landmark_weights.items()}
    prefixed |= {f"renderer.{key}": value for key, value in renderer_weights.items()}
    record = {"landmarks": of_landmarks, "renderer": of_renderer}
    terms = license or "no terms recorded."
    card = model_card(name, of_landmarks, of_renderer, data=data, hardware=hardware, license=terms)
    with write_whole_folder(folder) as beside:
        write_tensors(beside / WEIGHTS, halved(prefixed))
        (beside / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        (beside / "CARD.md").write_text(card, encoding="utf-8")
        write_config(beside, config)
        # Read back, so that the rounded weights are exported.
        export_stages(load_stages(beside), mouth, face, beside)
        write_config(beside, config)  # again, for the checksums of the stages
        for file in INT8.values():  # of the model that is replaced
            (folder / file).unlink(missing_ok=True)


def _config(name: str, mouth: LandmarkConfig, face: RendererConfig) -> dict[str, Any]:
    """The content of config.json: the settings of a dub, and both architectures."""
    return {
        "name": name,
        "face_size": face.face_size,
        "references_per_frame": face.references,
        "lips": face.lips,
        "window": mouth.window,
        "drive": face.drive,
        "landmarks": asdict(mouth),
        "renderer": asdict(face),
    }


def _require_dubbing(mouth: LandmarkConfig, face: RendererConfig) -> None:
    """Raise UsageError for networks that only research uses: a dub computes mel and five sketches per target."""
    if mouth.features != "mel" or mouth.bands != MELS:
        raise UsageError(
            f"The landmark generator needs {mouth.bands} bands of {mouth.features}, but a dub has {MELS} of mel; "
            "train another."
        )
    if face.neighbors != NEIGHBORS:
        raise UsageError(
            f"The renderer needs {face.sketches} sketches per target, but a dub has {2 * NEIGHBORS + 1}; train another."
        )


def export_stages(stages: Mapping[str, nn.Module], mouth: LandmarkConfig, face: RendererConfig, folder: Path) -> None:
    """Write and check `<stage>.onnx` for every stage. Raises WeightsError if one differs from torch."""
    for stage, axes in stage_axes(mouth, face).items():
        write_stage(stages[stage], axes, OUTPUTS[stage], folder / f"{stage}.onnx")


def stage_axes(mouth: LandmarkConfig, face: RendererConfig) -> dict[str, Axes]:
    """The inputs of every stage and their axes: numbers are fixed lengths, letters are free axes."""
    size, rows = face.face_size, face.face_size - face.top
    region = rows // 4, size // 4
    cells = ("b", "k", 2, *region)
    weight = (rows // 2, size // 2) if face.alignment == "learned" else region
    target: Axes = {"known": ("b", 3, size // 2 - face.top, size), "sketches": ("b", face.sketches, rows, size)}
    picture: Axes = {"image": ("n", 3, size, size), "sketch": ("n", 1, size, size)}
    return {
        "speech": {"mel": ("n", 1, mouth.bands, 16)},
        "landmarks": {
            "tokens": ("b", "T", mouth.dim),
            "pose": ("b", "T", NUM_POSE, 2),
            "references": ("b", "N", NUM_POINTS, 2),
        },
        "reference": picture,
        "lip": picture,
        "guess": {
            "points": ("b", NUM_POINTS, 2),
            "still": ("b", 2, 2),
            "reference_points": ("b", "k", NUM_POINTS, 2),
            "reference_still": ("b", "k", 2, 2),
        },
        "align": {
            **target,
            "points": ("b", NUM_POINTS, 2),
            "reference_points": ("b", "k", NUM_POINTS, 2),
            "moving": cells,
            "standing": cells,
            "remoteness": ("b", 1, *region),
            "seen_moving": ("b", "k", *region, face.coarse + 3),
            "seen_standing": ("b", "k", *region, face.coarse + 3),
        },
        "paint": {
            **target,
            "mel": ("b", 1, 80, 16),
            "lips": ("b", "m", face.coarse, *region),
            "target_fine": ("b", rows // 2, size // 2, face.fine),
            "target_coarse": ("b", *region, face.coarse),
            "fine": ("b", "k", rows // 2, size // 2, face.fine),
            "coarse": ("b", "k", *region, face.coarse + 3),
            "pictures": ("b", "k", rows, size, 3),
            "weight": ("b", "k", *weight),
        },
    }


def write_stage(stage: nn.Module, axes: Axes, outputs: tuple[str, ...], path: Path) -> None:
    """Write and check one stage. Raises WeightsError if it differs from torch."""
    _write_onnx(stage, axes, outputs, path)
    _strip_traces(path)
    error = check_onnx(stage, axes, path)
    _LOG.info("%s: %.1f kB, largest difference from torch %.1e", path.name, path.stat().st_size / 1e3, error)


def _write_onnx(stage: nn.Module, axes: Axes, outputs: tuple[str, ...], path: Path) -> None:
    """Export one stage. Free axes get different lengths other than 1, because the exporter treats 1 as fixed."""
    sizes = {"n": 2, "b": 2, "T": 5, "N": 6, "k": 3, "m": 4}
    # With PyTorch 2.7, upsampling excludes the largest integer, and a free axis that allows it is an error.
    dims = {letter: torch.export.Dim(letter, max=2**31 - 1) for letter in sizes}
    free = {
        name: {index: dims[axis] for index, axis in enumerate(shape) if isinstance(axis, str)}
        for name, shape in axes.items()
    }
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            stage,
            kwargs=example(axes, sizes),
            f=path,
            input_names=list(axes),
            output_names=list(outputs),
            dynamic_shapes=free,
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def _strip_traces(path: Path) -> None:
    """Remove the exporter's metadata from each node: stack traces with paths of this machine.

    Of them the nodes keep the name of the module that they are part of, such as `renderer.decoder.head.1/node_conv2d`.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for node in graph.node:
        scopes = next((given.value for given in node.metadata_props if given.key == _SCOPES), None)
        if scopes is not None and len(modules := literal_eval(scopes)) > 1:
            node.name = f"{modules[-2]}/{node.name}"
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


def check_onnx(stage: nn.Module, axes: Axes, path: Path) -> float:
    """Largest difference between ONNX Runtime and torch, over two choices of the free axes.

    Raises WeightsError for a difference above 1e-4 plus 0.1 % of the value.
    """
    session = open_session(path)
    known = {given.name for given in session.get_inputs()}
    worst = 0.0
    for sizes in ({"n": 1, "b": 1, "T": 1, "N": 1, "k": 1, "m": 1}, {"n": 3, "b": 3, "T": 7, "N": 15, "k": 3, "m": 5}):
        inputs = example(axes, sizes)
        with torch.no_grad():
            expected = stage(**inputs)
        given = {name: value.numpy() for name, value in inputs.items() if name in known}
        for ours, theirs in zip(_tuple(expected), session.run(None, given), strict=True):
            difference = np.abs(ours.numpy() - theirs)
            if not (difference <= ABSOLUTE + RELATIVE * np.abs(ours.numpy())).all():
                raise WeightsError(
                    f"{path}: ONNX Runtime differs from torch by {difference.max():.1e}; do not use this model."
                )
            worst = max(worst, float(difference.max()))
    return worst


def example(axes: Axes, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Realistic random inputs: pictures and positions in [0, 1], mel in [-4, 4], variations of one face as points."""
    random = torch.Generator().manual_seed(0)
    face = 0.2 + 0.6 * torch.rand(NUM_POINTS, 2, generator=random)
    inputs = {}
    for name, shape in axes.items():
        lengths = [sizes[axis] if isinstance(axis, str) else axis for axis in shape]
        if lengths[-1] == 2 and len(lengths) < 5:
            inputs[name] = face[: lengths[-2]] + 0.01 * torch.randn(lengths, generator=random)
        elif name == "mel":
            inputs[name] = 8 * torch.rand(lengths, generator=random) - 4
        elif len(lengths) >= 4:
            inputs[name] = torch.rand(lengths, generator=random)
        else:
            inputs[name] = torch.randn(lengths, generator=random)
    return inputs


def _tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the exporter's log, which mentions operators that are not used here."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
