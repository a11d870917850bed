"""Where models come from, and the proof that a file is the one that was published.

Model folders ship inside the package or are a user's own; weights of third parties that only training and
metrics need are looked up by name and never downloaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lipsmith.errors import WeightsError
from lipsmith.files import write_whole

SHIPPED = Path(__file__).parent / "pretrained"
WEIGHT_SUFFIXES = (".onnx", ".safetensors")


@dataclass(frozen=True)
class ModelFolder:
    """A checked model: `config` is its config.json, whose `files` names every weight file and its SHA-256."""

    path: Path
    config: dict[str, Any]


@dataclass(frozen=True)
class ThirdParty:
    """Somebody else's weights: the file's name in the weights folder, its origin and its licence.

    `sha256` may be the beginning of the hash, where that is all that its publisher tells, or empty.
    """

    file: str
    origin: str
    licence: str
    use: str
    sha256: str = ""


THIRD_PARTY = {
    "lpips_vgg16": ThirdParty(
        "lpips_vgg16_fp16.safetensors",
        "https://github.com/richzhang/PerceptualSimilarity",
        "BSD-3-Clause (torchvision), BSD-2-Clause (LPIPS)",
        "perceptual and style losses, LPIPS-VGG, Frechet distance",
        "89514fc74bd0e3652a3974b0f4a34cb01b04c50e5888dd93348cf3f7966862a6",
    ),
    "lpips_alexnet": ThirdParty(
        "lpips_alexnet.safetensors",
        "https://github.com/richzhang/PerceptualSimilarity",
        "BSD-3-Clause (torchvision), BSD-2-Clause (LPIPS)",
        "LPIPS-AlexNet",
        "137fae61e223a0ffeb6b56e2ef8c925a36a106ef8b15d24a234071617b3ed744",
    ),
    "sface": ThirdParty(
        "sface_int8.onnx",
        "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
        "Apache-2.0",
        "identity similarity",
        "487a139eb85ccd5ff30aef7d0add7f12d2bb7abb90c5f08a7f481b452a660e00",
    ),
    "vgg19": ThirdParty(
        "vgg19-dcbb9e9d.pth",
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        "BSD-3-Clause",
        "perceptual and style losses as in the paper",
        "dcbb9e9d",
    ),
    "syncnet_v2": ThirdParty(
        "syncnet_v2.model",
        "https://www.robots.ox.ac.uk/~vgg/software/lipsync/",
        "MIT (code); the weights' page states none",
        "LSE-D and LSE-C as published",
    ),
}


def home() -> Path:
    """Folder of the user's models and third-party weights: $LIPSMITH_HOME, or the platform's cache."""
    if named := os.environ.get("LIPSMITH_HOME"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lipsmith"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "lipsmith" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipsmith"


def find_model(name_or_folder: str | Path) -> ModelFolder:
    """The model of that name (shipped, or in $LIPSMITH_HOME/models), or in that folder, checked file by file.

    A bare word is first taken as a name; `./word` is always a folder. Raises WeightsError when there is none,
    or a file is missing or not the one that config.json names.
    """
    places = list(_places(name_or_folder))
    folder = next((place for place in places if (place / "config.json").is_file()), None)
    if folder is None:
        known = ", ".join(sorted({_labelled(file) for file in _configs()})) or "none"
        raise WeightsError(f"no model '{name_or_folder}': not a folder with config.json, and known are: {known}")
    config = _read_config(folder / "config.json")
    for file, sha256 in config.get("files", {}).items():
        check_file(folder / file, sha256)
    return ModelFolder(folder, config)


def model_names() -> list[str]:
    """Names that `find_model` knows: the shipped models and those in $LIPSMITH_HOME/models."""
    return sorted({file.parent.name for file in _configs()})


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write `folder/config.json`, adding the SHA-256 of every weight file that lies in the folder."""
    files = sorted(file for file in folder.iterdir() if file.suffix in WEIGHT_SUFFIXES)
    content = {**config, "files": {file.name: sha256_of(file) for file in files}}
    with write_whole(folder / "config.json") as beside:
        beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def third_party(name: str) -> Path:
    """The file of third-party weights `name`, checked. Raises WeightsError when it is missing or another."""
    weights = THIRD_PARTY[name]
    path = home() / "weights" / weights.file
    if not path.is_file():
        raise WeightsError(
            f"{weights.use} needs {weights.file}, which is not in {path.parent}; "
            f"get it from {weights.origin} ({weights.licence}) and put it there"
        )
    check_file(path, weights.sha256)
    return path


def check_file(path: Path, sha256: str) -> None:
    """Raise WeightsError unless `path` is a file whose SHA-256 begins with `sha256`."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing; install the model again")
    found = sha256_of(path)
    if not found.startswith(sha256):
        raise WeightsError(
            f"{path} is not the file that was published; fetch it again "
            f"(its SHA-256 begins with {found[:8]}, not with {sha256[:8]})"
        )


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, remembered while the file does not change."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _roots() -> tuple[Path, Path]:
    return SHIPPED, home() / "models"


def _configs() -> Iterator[Path]:
    return (file for root in _roots() for file in root.glob("*/config.json"))


def _labelled(config: Path) -> str:
    """A model's name, with its kind where it is of another than those that dub."""
    name = config.parent.name
    try:
        kind = _read_config(config).get("kind")
    except WeightsError:
        return f"{name} (damaged)"
    return f"{name} (of kind {kind})" if kind else name


def _places(name_or_folder: str | Path) -> Iterator[Path]:
    name = Path(name_or_folder).name
    if name_or_folder == name and not name.startswith("."):
        yield from (root / name for root in _roots())
    yield Path(name_or_folder)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("files", {}), dict):
        raise WeightsError(f"{path} is no model's config; install the model again")
    return config
