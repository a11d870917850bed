"""Collects facts about an installation for a bug report: versions, the machine, the backend, models."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from lipsmith.errors import LipsmithError
from lipsmith.inference.model_folder import find_model, load_backend, model_names, usable_cores

Fact = tuple[str, str]
"""Name and value of a fact."""

DEFAULT_MODEL: Final = "fast"

_PACKAGES: Final = (
    *("numpy", "av", "pillow", "pi-heif", "opencv-python-headless", "ai-edge-litert", "onnxruntime", "onnxruntime-gpu"),
    *("pydantic", "rich", "tyro", "torch", "lightning-fabric", "tensorboard", "safetensors", "einops", "onnx"),
    *("onnxscript", "c2pa-python", "fastapi", "uvicorn", "sqlmodel", "aiortc", "ray", "hama", "silero-vad"),
)
_INSTRUCTIONS: Final = (
    *("avx2", "f16c", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "sve"),
)
_ENCODERS: Final = ("libx264", "aac")
_CPUINFO: Final = Path("/proc/cpuinfo")


def versions() -> list[Fact]:
    """Versions of lipsmith, Python, the system, and the packages that lipsmith may use, installed or not."""
    system = f"{platform.platform()}, {platform.python_implementation()} {platform.python_version()}"
    return [("lipsmith", _version("lipsmith")), ("system", system), *((name, _version(name)) for name in _PACKAGES)]


def machine() -> list[Fact]:
    """Cores available to this process, the processor and its instruction sets, and the film encoders."""
    import av

    missing = [name for name in _ENCODERS if name not in av.codecs_available]
    return [
        ("cores", f"{usable_cores()} of {os.cpu_count() or '?'}"),
        ("processor", platform.machine() or "unknown"),
        ("instructions", instructions(_CPUINFO)),
        ("encoders", f"missing: {', '.join(missing)}" if missing else ", ".join(_ENCODERS)),
    ]


def instructions(cpuinfo: Path) -> str:
    """The instruction sets that affect speed, as listed by Linux, or as found by OpenCV on other systems."""
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()}
        if found := [name for name in _INSTRUCTIONS if name in flags]:
            return " ".join(found)
    import cv2

    return str(cv2.getCPUFeaturesLine())


def backend_of() -> Fact:
    """The backend that runs the default model here, or the reason why none can."""
    try:
        return "backend", load_backend(find_model(DEFAULT_MODEL), precision="auto").name
    except LipsmithError as error:
        return "backend", f"none: {error}"


def models() -> list[Fact]:
    """Every model by name, with all its files checked."""
    return [(name, _state(name)) for name in model_names()]


def _state(name: str) -> str:
    try:
        return f"complete, in {find_model(name).path}"
    except LipsmithError as error:
        return str(error)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
