"""Which render stage a CPU gets: the float one, or the 8-bit one that `lipsmith quantize` puts beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

Precision = Literal["auto", "float", "int8"]

INT8: Final = "render.int8.onnx"
_FREE_AXES: Final = {"k": 8}
_TRIES: Final = 2


def has_vnni(info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU adds up products of bytes in 32 bits (AVX-512 VNNI, AVX-VNNI); False where nobody can tell.

    Older ones add them up in 16 bits, which overflow, and are hardly faster at it than at floats.
    """
    try:
        words = set(info.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_vnni", "avx_vnni"})


def is_faster(one: Any, other: Any) -> bool:  # noqa: ANN401 - onnxruntime carries no types
    """Whether the inference session `one` takes less of its caller's CPU time than `other` for one frame."""
    inputs = {
        given.name: np.zeros([_FREE_AXES.get(axis, 1) if isinstance(axis, str) else axis for axis in given.shape], "f4")
        for given in other.get_inputs()
    }
    times: list[list[float]] = [[], []]
    for _ in range(1 + _TRIES):
        for session, taken in zip((one, other), times, strict=True):
            began = time.thread_time()
            session.run(None, inputs)
            taken.append(time.thread_time() - began)
    return min(times[0][1:]) < min(times[1][1:])
