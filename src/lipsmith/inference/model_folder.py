"""Model folders: finds them by name or path, checks their files, reads their settings and loads their stages."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from lipsmith.config import Kind, build, parse_device
from lipsmith.errors import UsageError, WeightsError
from lipsmith.files import check_file, home, sha256_of, write_whole
from lipsmith.inference.backend import MOST_THREADS, Precision

if TYPE_CHECKING:
    from lipsmith.inference.onnx import OnnxBackend
    from lipsmith.inference.torch import TorchBackend

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

SHIPPED: Final = Path(__file__).parent.parent / "pretrained"
WEIGHT_SUFFIXES: Final = (".onnx", ".safetensors")
RECORD: Final = "training.json"
"""Config and validation figures of the training of each network of a model, which can be reused in the next model."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The settings of a model that dubs, from config.json of its folder."""

    name: str
    """Name of the model in the metadata of results."""
    face_size: int
    """Side S of the crops that the networks work on, pixels."""
    references_per_frame: int
    """Reference crops that are warped into one frame."""
    lips: int
    """Lip references of one face."""
    window: int
    """Frames per window of the landmark generator, at 25 per second."""
    drive: float = 1.0
    """Factor on the predicted motion of lips and jaw; above 1 if the rendered picture follows it only partly."""
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    """SHA-256 of its files by name."""

    def __post_init__(self) -> None:
        if min(self.face_size, self.references_per_frame, self.lips, self.window) < 1:
            raise ValueError("face_size, references_per_frame, lips and window are at least 1")


@dataclass(frozen=True)
class ModelFolder:
    """A checked model folder."""

    path: Path
    config: Mapping[str, Any] = field(repr=False)
    """config.json of any kind of model; its `files` lists every weight file with its SHA-256."""

    @property
    def settings(self) -> ModelConfig:
        """The settings of a model that dubs. Raises `WeightsError` for a model of another kind."""
        if kind := self.config.get("kind"):
            raise WeightsError(f"{self.path} is a model of kind {kind}, which does not dub; give one that does.")
        known = {field.name: self.config[field.name] for field in fields(ModelConfig) if field.name in self.config}
        table = {"name": self.path.resolve().name, **known}
        return build(ModelConfig, table, f"{self.path / 'config.json'} describes no model that dubs", WeightsError)

    def part(self, cls: type[T], key: str) -> T:
        """The config under `key`. Raises `WeightsError` if it is missing or invalid."""
        return build(cls, self.config.get(key), f"{self.path / 'config.json'}: {key}", WeightsError)

    def architecture(self, cls: type[T], kind: str, described: str) -> T:
        """The architecture of a model of a `kind` that does not dub. Raises `WeightsError` for another kind."""
        if self.config.get("kind") != kind:
            raise WeightsError(f"{self.path} is not {described}; train one with `lipsmith train {kind}`.")
        return self.part(cls, "architecture")


def find_model(name_or_folder: str | Path) -> ModelFolder:
    """The model of that name (shipped, or in $LIPSMITH_HOME/models) or in that folder, with all files checked.

    A bare word is first looked up as a name; `./word` is always a folder. Raises WeightsError if there is no such
    model, or a file is missing or differs from its hash in config.json.
    """
    if not isinstance(name_or_folder, str | Path):
        raise UsageError(f"The model is of type {type(name_or_folder).__name__}; give a name or a folder.")
    candidates = list(_candidates(name_or_folder))
    folder = next((candidate for candidate in candidates if (candidate / "config.json").is_file()), None)
    if folder is None:
        known = ", ".join(sorted({_label(file) for file in _configs()})) or "none"
        networks = " and ".join(networks_of_run(name_or_folder))
        wrong = f"{name_or_folder} is a run of {networks}, not a model" if networks else f"No model '{name_or_folder}'"
        raise WeightsError(f"{wrong}; give a folder with config.json, or one of {known}.")
    config = _read_config(folder / "config.json")
    for file, sha256 in config.get("files", {}).items():
        check_file(folder / file, sha256)
    return ModelFolder(folder, config)


def networks_of_run(folder: str | Path) -> list[str]:
    """The networks that a training run in `folder` trained, such as `renderer`; none for any other folder, and for the
    name of a model, which comes first as in `find_model`."""
    if folder in model_names():
        return []
    endings = (".json", ".safetensors")
    return [name for name in get_args(Kind) if all(Path(folder, name + ending).is_file() for ending in endings)]


def read_card(run: str | Path, network: str) -> dict[str, Any]:
    """What a training run in the folder `run` recorded about a network: its config as `training`, and its figures.

    Raises `WeightsError` if that is missing or damaged.
    """
    path = Path(run, f"{network}.json")
    card = _card_in(path)
    if card is None:
        raise WeightsError(f"{path} is not the card of a training run; train again.")
    return card


def read_record(model: Path, network: str) -> dict[str, Any]:
    """The card of the training run that made a network of the model in the folder `model`.

    Raises `WeightsError` if that is missing or damaged.
    """
    card = _card_in(model / RECORD, network)
    if card is None:
        raise WeightsError(f"{model / RECORD} does not describe a training of {network}; use another model.")
    return card


def _card_in(path: Path, *keys: str) -> dict[str, Any] | None:
    """The card at `keys` of a JSON file; None if it is missing or damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        card = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            card = card[key]
        card = {"validation": {}, **card}
        tables = isinstance(card["training"], dict) and isinstance(card["validation"], dict)
        if tables and isinstance(card["training"].get("start"), str | None):
            return card
    return None


def model_names() -> list[str]:
    """Names that `find_model` knows: the shipped models and those in $LIPSMITH_HOME/models."""
    return sorted({file.parent.name for file in _configs()})


def write_config(folder: Path, config: Mapping[str, Any], without: Collection[str] = ()) -> None:
    """Write `folder/config.json`, with the SHA-256 of every weight file in the folder but those `without`."""
    found = (file for file in folder.iterdir() if file.suffix in WEIGHT_SUFFIXES)
    files = sorted(file for file in found if file.name not in without)
    content = {**config, "files": {file.name: sha256_of(file) for file in files}}
    with write_whole(folder / "config.json") as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _roots() -> tuple[Path, Path]:
    return SHIPPED, home() / "models"


def _configs() -> Iterator[Path]:
    return (file for root in _roots() for file in root.glob("*/config.json"))


def _label(config: Path) -> str:
    """A model's name, with its kind if it does not dub."""
    name = config.parent.name
    try:
        kind = _read_config(config).get("kind")
    except WeightsError:
        return f"{name} (damaged)"
    return f"{name} (of kind {kind})" if kind else name


def _candidates(name_or_folder: str | Path) -> Iterator[Path]:
    name = Path(name_or_folder).name
    if name_or_folder == name and not name.startswith("."):
        yield from (root / name for root in _roots())
    yield Path(name_or_folder)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict) or not _are_hashes(config.get("files", {})):
        raise WeightsError(f"{path} is not the config of a model; install the model again.")
    return config


def _are_hashes(files: object) -> bool:
    return isinstance(files, dict) and all(isinstance(sha256, str) for sha256 in files.values())


def load_backend(
    folder: ModelFolder,
    device: str = "auto",
    threads: int | None = None,
    precision: Precision = "float",
) -> OnnxBackend | TorchBackend:
    """The backend that runs the model in `folder`; a log line reports the choice.

    `device`: auto (CUDA if ONNX Runtime supports it, or torch if there are no ONNX files; else the CPU), cpu, cuda or
    cuda:N (on torch if ONNX Runtime has no CUDA). `threads`: of torch, within one operator; None for all cores.
    `precision`: auto, float or int8, see `OnnxBackend`. Raises `UsageError` for an unavailable device or precision, and
    `WeightsError` for a folder without stages.
    """
    parse_device(device)
    has_onnx = (folder.path / "paint.onnx").is_file()
    if not has_onnx and (folder.path / "render.onnx").is_file():
        raise WeightsError(f"{folder.path} was exported by an older version of lipsmith; export or adapt it again.")
    if not has_onnx and not list(folder.path.glob("*.safetensors")):
        raise WeightsError(f"{folder.path}: no stage (*.onnx) and no weights (*.safetensors); fetch the model again.")
    if has_onnx:
        from lipsmith.inference.onnx import OnnxBackend, cuda_is_available

        if device in ("auto", "cpu") or cuda_is_available():
            return OnnxBackend(folder.path, device, precision)
    if precision == "int8":
        raise UsageError("Precision int8 is not available on torch; use precision float or device cpu.")
    from lipsmith.inference.torch import load_torch_backend

    backend = load_torch_backend(folder.path, device, threads)
    _LOG.info("model %s runs on %s", folder.path.name, backend.name)
    return backend


def require_device(device: str) -> None:
    """Raise `UsageError` for a GPU that neither ONNX Runtime nor torch can use here."""
    if parse_device(device).kind == "cuda":
        from lipsmith.inference.onnx import cuda_is_available

        if not cuda_is_available():
            from lipsmith.inference.torch import torch_device

            torch_device(device)


def checked_threads(threads: int | None) -> int | None:
    """A number of CPU threads, of NumPy, say, as an int. Raises `UsageError` for anything but 1 to `MOST_THREADS`."""
    if threads is None:
        return None
    if not isinstance(threads, Integral) or not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"threads = {threads!r} is out of range; give 1 to {MOST_THREADS}.")
    return int(threads)


def usable_cores() -> int:
    """Cores available to this process, at least 1; clusters, containers and services may restrict them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cpu_quota(Path("/")))))


def cpu_quota(root: Path) -> float:
    """Seconds of CPU time a second that this process may use by its control group (Linux, version 2), or infinity.

    `root` is the root of the file system, another one in tests.
    """
    with suppress(OSError, ValueError):
        group = (root / "proc/self/cgroup").read_text(encoding="utf-8").rpartition("0::/")[2].strip()
        quota, period = (root / "sys/fs/cgroup" / group / "cpu.max").read_text(encoding="utf-8").split()
        return int(quota) / int(period)  # without a limit, the quota is the word max
    return math.inf
