"""What a report of a problem needs to say about an installation: versions, the machine, the backend, models."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from lipsmith.errors import LipsmithError
from lipsmith.inference.model_folder import find_model, load_backend, model_names, usable_cores

Fact = tuple[str, str]
"""What is looked at, and what was found."""

DEFAULT_MODEL: Final = "fast"

_PACKAGES: Final = (
    *("numpy", "av", "pillow", "pi-heif", "opencv-python-headless", "ai-edge-litert", "onnxruntime", "onnxruntime-gpu"),
    *("pydantic", "rich", "tyro", "torch", "lightning-fabric", "c2pa-python", "fastapi", "gradio"),
)
_INSTRUCTIONS: Final = (
    *("avx2", "f16c", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "sve"),
)
_ENCODERS: Final = ("libx264", "aac")
_CPUINFO: Final = Path("/proc/cpuinfo")


def versions() -> list[Fact]:
    """lipsmith, Python, the system, and every package that lipsmith may use; what is absent is said to be."""
    system = f"{platform.platform()}, {platform.python_implementation()} {platform.python_version()}"
    return [("lipsmith", _version("lipsmith")), ("system", system), *((name, _version(name)) for name in _PACKAGES)]


def machine() -> list[Fact]:
    """Cores that this process may use, the processor and its instruction sets, and the film encoders."""
    import av

    missing = [name for name in _ENCODERS if name not in av.codecs_available]
    return [
        ("cores", f"{usable_cores()} of {os.cpu_count() or '?'}"),
        ("processor", platform.machine() or "unknown"),
        ("instructions", instructions(_CPUINFO)),
        ("encoders", f"missing: {', '.join(missing)}" if missing else ", ".join(_ENCODERS)),
    ]


def instructions(cpuinfo: Path) -> str:
    """The instruction sets that matter for speed, as Linux lists them; elsewhere those that OpenCV found."""
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()}
        if found := [name for name in _INSTRUCTIONS if name in flags]:
            return " ".join(found)
    import cv2

    return str(cv2.getCPUFeaturesLine())


def backend_of(model: str = DEFAULT_MODEL) -> Fact:
    """What runs the model here, or why nothing does."""
    try:
        return "backend", str(getattr(load_backend(find_model(model)), "name", "unknown"))
    except LipsmithError as error:
        return "backend", f"none: {error}"


def models() -> list[Fact]:
    """Every model by name, checked file by file."""
    return [(name, _state(name)) for name in model_names()]


def _state(name: str) -> str:
    try:
        return f"whole, in {find_model(name).path}"
    except LipsmithError as error:
        return str(error)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
