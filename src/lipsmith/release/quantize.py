"""Writes an 8-bit render stage, calibrated on faces of `train` and compared with the float stage on faces of `val`.

Only convolutions are 8-bit (static; unsigned activations, signed weights with a scale per channel). Convolutions that
output the flow or the picture, or whose inputs have very different ranges, stay float, as do all warps and sums.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import PreparedClip, load_clip, read_manifest
from lipsmith.errors import InputError, UsageError, WeightsError
from lipsmith.evaluation.metrics.lpips import load_lpips, lpips
from lipsmith.evaluation.protocols import strict_frames
from lipsmith.face.crop import still_points
from lipsmith.face.references import choose_lips, costs, nearest
from lipsmith.files import write_whole
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import ModelConfig, ModelFolder, find_model, load_backend, write_config
from lipsmith.inference.onnx import INT8, open_session
from lipsmith.inference.render import encode_face, pixels, render, sketches_around
from lipsmith.models.renderer.alignment import CUES
from lipsmith.speech.mel import mel_windows

_LOG = logging.getLogger(__name__)

CALIBRATION: Final = (24, 2)
"""People of `train` whose frames calibrate the ranges, and frames per person."""
COMPARISON: Final = (10, 4)
"""People of `val` whose frames are rendered both ways, and frames per person."""
LEAST_PSNR: Final = 44.0
"""Minimum PSNR in dB of the 8-bit half relative to the float one."""
MOST_LPIPS: Final = 1.01
"""Maximum LPIPS from the truth, as a multiple of the float pictures'."""
_REFERENCES: Final = 12
_FLOAT: Final = ("alignment.head", "alignment.sketch_modulator.head", "audio", "decoder.block1", "decoder.head")

Inputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Comparison:
    """Comparison of 8-bit and float pictures."""

    psnr: float
    """PSNR in dB of the rendered half, mean over frames."""
    lpips: float
    """LPIPS from the truth, as a multiple of the float pictures'; NaN where the weights of LPIPS are missing."""


@dataclass(frozen=True)
class Sample:
    """Some frames of one clip."""

    inputs: Inputs
    """Inputs of the render stage."""
    truth: NDArray[np.uint8]
    """(b, S, S, 3)."""


def quantize(model: str | Path, data: Path, splits: tuple[str, str] = ("train", "val")) -> Comparison:
    """Write the 8-bit render stage of `model`, a name or folder, next to the float one; `data`: prepared clips, of
    which the first of the `splits` calibrates and the second is compared.

    Raises UsageError for a model without ONNX stages and InputError if `data` has no sufficiently long clips in either
    split. If pictures differ by more than `LEAST_PSNR` and `MOST_LPIPS` allow, raises WeightsError and writes
    nothing.
    """
    folder = find_model(model)
    if not (folder.path / "render.onnx").is_file():
        raise UsageError(f"{folder.path}: render.onnx is missing; export the model first.")
    shown = list(samples(folder, data, splits[1], *COMPARISON))
    with write_whole(folder.path / INT8) as beside:
        # One sample in memory at a time.
        calibration = (sample.inputs for sample in samples(folder, data, splits[0], *CALIBRATION))
        _write(folder.path / "render.onnx", calibration, beside)
        found = compare(folder.path / "render.onnx", beside, shown)
        _LOG.info("%s: PSNR to float %.1f dB, LPIPS %.4f times float's", INT8, found.psnr, found.lpips)
        if found.psnr < LEAST_PSNR or found.lpips > MOST_LPIPS:
            raise WeightsError(
                f"{folder.path}: 8-bit pictures are {found.psnr:.1f} dB from float ones, their LPIPS {found.lpips:.3f} "
                f"of float's; at least {LEAST_PSNR:g} and at most {MOST_LPIPS:g} are allowed, so dub with float."
            )
    write_config(folder.path, folder.config)
    return found


def samples(folder: ModelFolder, data: Path, split: str, people: int, frames: int) -> Iterator[Sample]:
    """`frames` evenly spaced frames of one clip each of `people` people of a split; where there are fewer people, each
    gives more samples. Raises InputError if there are none."""
    first = {record.identity: record for record in reversed(read_manifest(data, split))}
    records = [first[identity] for identity in sorted(first)]
    backend, found = load_backend(folder, "cpu"), 0
    for place, count in zip(
        *np.unique(np.linspace(0, len(records) - 1, people).astype(int), return_counts=True), strict=True
    ):
        clip = load_clip(data, records[place])
        choice = strict_frames(clip)
        if choice is None:
            continue
        found += 1
        chosen = choice.targets[np.linspace(0, len(choice.targets) - 1, frames * count).astype(int)]
        for start in range(count):
            yield _sample(backend, folder.settings, clip, choice.pool, chosen[start::count])
    if not found:
        raise InputError(
            f"{data}: none of the tested clips of the split {split} lasts two seconds; prepare longer ones."
        )


def _sample(
    backend: Backend, config: ModelConfig, clip: PreparedClip, pool: NDArray[np.intp], places: NDArray[np.intp]
) -> Sample:
    """Inputs of the render stage for the frames `places`, with references from `pool`."""
    assert clip.images is not None
    pool = pool[:: -(-len(pool) // _REFERENCES)]
    points, still, size = clip.landmarks, still_points(clip.transforms), clip.images.shape[1]
    lips = choose_lips(points[pool], None, config.lips)
    face = encode_face(backend, clip.images[pool], points[pool], still[pool], lips)
    references = nearest(
        costs(points[places], points[pool], still[places], still[pool]), min(config.references_per_frame, len(pool))
    )
    first, last = np.zeros(1, np.intp), np.full(1, len(points) - 1)
    sketches = sketches_around(points, places, first, last, size)
    mel, given = mel_windows(clip.mel, clip.times[places]), _Given(backend)
    render(given, face, clip.images[places], points[places], still[places], sketches, mel, references)
    return Sample(given.inputs, clip.images[places])


class _Given:
    """A backend that records its last inputs."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.precision = backend, backend.precision
        self.inputs: Inputs = {}

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        self.inputs = {name: np.ascontiguousarray(value, np.float32) for name, value in inputs.items()}
        return self._backend(stage, **inputs)


class _Reader:
    """A calibration data reader of ONNX Runtime."""

    def __init__(self, inputs: Iterator[Inputs]) -> None:
        self._inputs = inputs

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)


def compare(stage: Path, quantized: Path, shown: list[Sample]) -> Comparison:
    """Compare the pictures of two render stages on the same frames."""
    drawn = [_drawn(path, shown) for path in (stage, quantized)]
    half = drawn[0].shape[2] // 2
    error = np.square(drawn[0] - drawn[1])[:, :, half:].mean((1, 2, 3))
    pictures = {name: pixels(images) for name, images in zip(("float", "int8"), drawn, strict=True)}
    ratio = _lpips_ratio(np.concatenate([sample.truth for sample in shown]), pictures)
    return Comparison(float(np.mean(-10 * np.log10(np.maximum(error, 1e-10)))), ratio)


def _lpips_ratio(truth: NDArray[np.uint8], pictures: dict[str, NDArray[np.uint8]]) -> float:
    try:
        network = load_lpips("alexnet")
    except WeightsError as error:
        _LOG.warning("8-bit pictures are compared by PSNR alone: %s", error)
        return float("nan")
    found = lpips(network, truth, pictures)
    distances = [float(found[name].distances.mean()) for name in pictures]
    return distances[1] / distances[0]


def _drawn(path: Path, shown: list[Sample]) -> NDArray[np.float32]:
    session = open_session(path)
    known = {given.name for given in session.get_inputs()}
    return np.concatenate([session.run(None, {name: sample.inputs[name] for name in known})[0] for sample in shown])


def _write(stage: Path, inputs: Iterator[Inputs], out: Path) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    known = {given.name for given in open_session(stage).get_inputs()}
    with _quiet(), TemporaryDirectory() as folder:
        folded = Path(folder) / stage.name
        _fold(stage, folded)
        quantize_static(
            str(folded),
            str(out),
            _Reader({name: given[name] for name in known} for given in inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_kept_float(folded),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses advice of ONNX Runtime on the root logger that does not apply here, and the handler that it adds."""
    root = logging.getLogger()
    before = root.handlers[:]
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.handlers[:] = before


def _fold(stage: Path, folded: Path) -> None:
    """Write the stage with all that does not depend on its inputs computed, so that such weights become 8-bit too."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    ort.InferenceSession(str(stage), options, providers=["CPUExecutionProvider"])


def _kept_float(stage: Path) -> list[str]:
    """Names of the convolutions that stay float: `_FLOAT`, and the cues, whose ranges differ."""
    import onnx

    graph = onnx.load(stage).graph
    channels = {tensor.name: tensor.dims[1] for tensor in graph.initializer if len(tensor.dims) == 4}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    parts = tuple(f"renderer.{part}." for part in _FLOAT)
    return [node.name for node in convolutions if channels[node.input[1]] == CUES or node.input[1].startswith(parts)]
