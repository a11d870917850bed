"""Writes 8-bit stages of the renderer, calibrated on faces of `train` and compared with the float stages on faces of
`val`.

Only convolutions, with their ReLUs, are 8-bit (static; unsigned activations, signed weights with a scale per channel).
Weights have seven bits: CPUs without VNNI add two products in 16 bits, which would overflow with eight.
Convolutions that output the flow or the picture, or whose inputs have very different ranges, stay float, as do all
warps and sums.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
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
from lipsmith.face.references import choose_pool, costs, nearest
from lipsmith.files import refuse_existing, write_whole
from lipsmith.inference.backend import Backend
from lipsmith.inference.model_folder import ModelConfig, ModelFolder, find_model, load_backend, write_config
from lipsmith.inference.onnx import INT8, OnnxBackend, open_session
from lipsmith.inference.render import Sketches, encode_face, render
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
_FLOAT: Final = ("alignment.head", "alignment.sketch_modulator.head", "decoder.block1", "decoder.head")

Inputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Accuracy:
    """How close 8-bit pictures come to float ones."""

    psnr: float
    """PSNR in dB of the rendered half, mean over frames."""
    lpips: float
    """LPIPS from the truth, as a multiple of the float pictures'; NaN where the weights of LPIPS are missing."""


@dataclass(frozen=True)
class Sample:
    """Some frames of one clip."""

    draw: Callable[[Backend], NDArray[np.uint8]]
    """Renders the frames on a backend: `(b, S, S, 3)`."""
    truth: NDArray[np.uint8]
    """(b, S, S, 3)."""


def quantize(model: str | Path, data: Path, splits: tuple[str, str] = ("train", "val")) -> Accuracy:
    """Write 8-bit stages of `model`, a name or folder, next to the float ones; `data`: prepared clips, of which the
    first of the `splits` calibrates and the second is compared.

    Raises UsageError for a model without ONNX stages and InputError if `data` has no sufficiently long clips in either
    split. If pictures differ by more than `LEAST_PSNR` and `MOST_LPIPS` allow, raises WeightsError and writes
    nothing.
    """
    folder = find_model(model)
    for stage in INT8:
        if not (folder.path / f"{stage}.onnx").is_file():
            raise UsageError(f"{folder.path}: {stage}.onnx is missing; export the model first.")
    refuse_existing(folder.path / "config.json", overwrite=True)
    exact = load_backend(folder, "cpu")
    shown = list(samples(folder, data, splits[1], *COMPARISON))
    with TemporaryDirectory() as temporary:
        trial = Path(temporary, folder.path.resolve().name)  # which the log names
        shutil.copytree(folder.path, trial)
        _write_calibrated(exact, samples(folder, data, splits[0], *CALIBRATION), trial)
        found = compare(exact, OnnxBackend(trial, "cpu", "int8"), shown)
        _LOG.info("8 bits: PSNR to float %.1f dB, LPIPS %.4f times float's", found.psnr, found.lpips)
        if found.psnr < LEAST_PSNR or found.lpips > MOST_LPIPS:
            raise WeightsError(
                f"{folder.path}: 8-bit pictures are {found.psnr:.1f} dB from float ones, their LPIPS {found.lpips:.3f} "
                f"of float's; at least {LEAST_PSNR:g} and at most {MOST_LPIPS:g} are allowed, so dub with float."
            )
        write_config(folder.path, folder.config, without=INT8.values())  # valid while they are replaced
        for file in INT8.values():
            with write_whole(folder.path / file) as beside:
                shutil.copy(trial / file, beside)
    write_config(folder.path, folder.config)
    return found


def _write_calibrated(exact: Backend, seen: Iterator[Sample], folder: Path) -> None:
    """Write the 8-bit stages of the model in `folder`, with the ranges of what its float stages get for samples."""
    given = _Given(exact)
    for sample in seen:
        sample.draw(given)
    for stage, file in INT8.items():
        _write(folder / f"{stage}.onnx", given.inputs[stage], folder / file)


def samples(folder: ModelFolder, data: Path, split: str, people: int, frames: int) -> Iterator[Sample]:
    """`frames` evenly spaced frames of one clip each of `people` people of a split; where there are fewer people, each
    gives more samples. Raises InputError if there are none."""
    first = {record.identity: record for record in reversed(read_manifest(data, split))}
    records = [first[identity] for identity in sorted(first)]
    found = 0
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
            yield _sample(folder.settings, clip, choice.pool, chosen[start::count])
    if not found:
        raise InputError(
            f"{data}: none of the tested clips of the split {split} lasts two seconds; prepare longer ones."
        )


def _sample(config: ModelConfig, clip: PreparedClip, pool: NDArray[np.intp], places: NDArray[np.intp]) -> Sample:
    """The frames `places`, with references from `pool`."""
    assert clip.images is not None
    images, pool = clip.images, pool[:: -(-len(pool) // _REFERENCES)]
    points, still, size = clip.landmarks, still_points(clip.transforms), images.shape[1]
    lips = choose_pool(points[pool], None, config.lips)
    references = nearest(
        costs(points[places], points[pool], still[places], still[pool]), min(config.references_per_frame, len(pool))
    )
    first, last = np.zeros(1, np.intp), np.full(1, len(points) - 1)
    sketches, mel = Sketches(points).around(places, first, last, size), mel_windows(clip.mel, clip.times[places])

    def draw(backend: Backend) -> NDArray[np.uint8]:
        face = encode_face(backend, images[pool], points[pool], still[pool], lips)
        given = (images[places], points[places], still[places], sketches, mel, references)
        return render(backend, face, *given).images

    return Sample(draw, images[places])


class _Given:
    """A backend that records the inputs of the stages in `INT8`."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.precision = backend, backend.precision
        self.inputs: dict[str, list[Inputs]] = {stage: [] for stage in INT8}

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        if stage in INT8:
            self.inputs[stage].append({name: np.ascontiguousarray(value, np.float32) for name, value in inputs.items()})
        return self._backend(stage, **inputs)


class _Reader:
    """A calibration data reader of ONNX Runtime."""

    def __init__(self, inputs: Iterator[Inputs]) -> None:
        self._inputs = inputs

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)


def compare(exact: Backend, rough: Backend, shown: list[Sample]) -> Accuracy:
    """Compare the pictures of two backends on the same frames."""
    truth = np.concatenate([sample.truth for sample in shown])
    wanted, found = (np.concatenate([sample.draw(backend) for sample in shown]) for backend in (exact, rough))
    half = truth.shape[1] // 2
    difference = wanted[:, half:].astype(np.float32) - found[:, half:]
    error = np.square(difference / 255).mean((1, 2, 3))
    psnr = float(np.mean(-10 * np.log10(np.maximum(error, 1e-10))))
    return Accuracy(psnr, _lpips_ratio(truth, wanted, found))


def _lpips_ratio(truth: NDArray[np.uint8], exact: NDArray[np.uint8], rough: NDArray[np.uint8]) -> float:
    try:
        network = load_lpips("alexnet")
    except WeightsError as error:
        _LOG.warning("8-bit pictures are compared by PSNR alone: %s", error)
        return float("nan")
    seen = lpips(network, truth, {"float": exact, "int8": rough})
    return float(seen["int8"].distances.mean() / seen["float"].distances.mean())


def _write(stage: Path, inputs: list[Inputs], out: Path) -> None:
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
            op_types_to_quantize=["Conv", "Relu"],
            nodes_to_exclude=_kept_float(folded),
            per_channel=True,
            reduce_range=True,
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
    """Names of the nodes that stay float: the convolutions `_FLOAT`, and the cues, whose ranges differ; and every ReLU
    but those of a convolution that nothing else uses: its 8-bit values then have the range of the ReLU's."""
    import onnx

    graph = onnx.load(stage).graph
    channels = {tensor.name: tensor.dims[1] for tensor in graph.initializer if len(tensor.dims) == 4}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    parts = tuple(f"renderer.{part}" for part in _FLOAT)
    kept = [node for node in convolutions if channels[node.input[1]] == CUES or node.name.startswith(parts)]
    uses = Counter([name for node in graph.node for name in node.input] + [output.name for output in graph.output])
    inside = {node.output[0] for node in convolutions if node not in kept and uses[node.output[0]] == 1}
    kept += [node for node in graph.node if node.op_type == "Relu" and node.input[0] not in inside]
    return [node.name for node in kept]
