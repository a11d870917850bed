"""Runs the stages as ONNX files on ONNX Runtime, the backend of a plain install."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final, NoReturn

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from lipsmith.config import parse_device
from lipsmith.errors import UsageError, WeightsError
from lipsmith.inference.backend import Precision

_LOG = logging.getLogger(__name__)

INT8: Final = {"align": "align.int8.onnx", "paint": "paint.int8.onnx"}
"""The files of the stages that may have 8-bit convolutions, beside those of the float stages."""
_FREE_AXIS_SIZES: Final = {"k": 5}
"""Lengths of free axes other than 1: the references of a frame, of which the shipped renderer has this many."""
_REPEATS: Final = 2
_clock: Final = time.perf_counter if sys.platform == "win32" else time.thread_time
"""Windows counts the CPU time of a thread in steps of 16 ms."""
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_PAINT = "paint"
_MEASURED: dict[tuple[Path, int], Precision] = {}
"""The faster precision by an 8-bit stage's path and time of change: it is measured once a process."""


def is_faster(some: Any, other: Any) -> bool:  # noqa: ANN401 - onnxruntime carries no types
    """Whether the inference session `some` uses less CPU time of the calling thread than `other`, for one frame.

    Both are sessions of the same stage.
    """
    inputs = _zeros(other)
    times: list[list[float]] = [[], []]
    for _ in range(1 + _REPEATS):
        for session, durations in zip((some, other), times, strict=True):
            started = _clock()
            session.run(None, inputs)
            durations.append(_clock() - started)
    return min(times[0][1:]) < min(times[1][1:])


def _zeros(session: Any) -> dict[str, NDArray[np.float32]]:  # noqa: ANN401 - onnxruntime carries no types
    """Inputs of a stage for one frame."""
    shapes = {
        given.name: [_FREE_AXIS_SIZES.get(axis, 1) if isinstance(axis, str) else axis for axis in given.shape]
        for given in session.get_inputs()
    }
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def cuda_is_available() -> bool:
    """Whether this build of ONNX Runtime can use CUDA."""
    return _CUDA in ort.get_available_providers()


class OnnxBackend:
    """One inference session per `<stage>.onnx`, created when the stage first runs.

    Several threads may call it, each of which draws frames of its own. `precision` of the stages in `INT8`: float,
    int8, or auto (int8 if it is faster). Raises `UsageError` if a named device or int8 is unavailable;
    the device auto falls back to the CPU.
    """

    def __init__(self, folder: Path, device: str, precision: Precision = "float") -> None:
        self._folder = folder
        self._providers = _providers(device)
        self._sessions: dict[str, Any] = {}
        self._inputs: dict[str, frozenset[str]] = {}
        self._opening = Lock()
        if self._providers != [_CPU] and not self._computes_on_cuda():
            if device != "auto":
                raise UsageError(f"Device {device}: ONNX Runtime cannot use it here; use cpu.")
            self._providers, self._sessions = [_CPU], {}
        self._chosen = Future[Precision]()
        self._choose_precision(precision)

    def __reduce__(self) -> NoReturn:
        raise UsageError("A model belongs to one process; load it in each (Dubber.from_pretrained).")

    @property
    def precision(self) -> Precision:
        """Precision of the stages in `INT8`; waits until it is chosen."""
        return self._chosen.result()

    @property
    def name(self) -> str:
        """Runtime, device and precision; waits like `precision`."""
        device = _device_name(self._providers)
        return f"ONNX Runtime {ort.__version__}, {device}, {self.precision}"

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        self._chosen.result()
        with self._opening:
            session = self._sessions.get(stage) or self._sessions.setdefault(stage, self._open(stage))
        known = self._inputs.get(stage) or self._inputs.setdefault(stage, self._inputs_of(stage, session, inputs))
        feed = {name: np.ascontiguousarray(value, np.float32) for name, value in inputs.items() if name in known}
        return tuple(session.run(None, feed))

    def _inputs_of(self, stage: str, session: Any, given: Collection[str]) -> frozenset[str]:  # noqa: ANN401 - untyped
        """Names of a stage's inputs: the exporter removes those that a configuration does not use."""
        wanted = frozenset(one.name for one in session.get_inputs())
        if not wanted <= set(given):
            raise WeightsError(
                f"{self._folder}: {stage}.onnx is of another version of lipsmith; export or adapt the model again."
            )
        return wanted

    def _computes_on_cuda(self) -> bool:
        """Whether sessions run on CUDA: ONNX Runtime falls back silently without the GPU or its libraries."""
        session = self._sessions[_PAINT] = self._open(_PAINT)
        return _CUDA in session.get_providers()

    def _choose_precision(self, precision: Precision) -> None:
        """Choose the precision in a thread, because the caller usually scans a film first."""
        paths = [self._folder / file for file in INT8.values()]
        missing = next((path for path in paths if not path.is_file()), None)
        available = self._providers == [_CPU] and missing is None
        if precision == "int8" and not available:
            raise UsageError(
                f"Precision int8 runs on a CPU and needs {missing or paths[0]} (`lipsmith quantize`); use float."
            )
        if precision == "float" or not available:
            self._chosen.set_result("float")
            self._log_choice()
        else:
            Thread(target=self._open_chosen, args=(paths[0], precision)).start()

    def _open_chosen(self, path: Path, precision: Precision) -> None:
        """Open the 8-bit stages, of which `path` is one, if `precision` is int8, or if they are faster on this CPU."""
        try:
            key = path.resolve(), path.stat().st_mtime_ns
            if precision == "auto":
                precision = _MEASURED.get(key, "auto")
            sessions = self._open_all(precision != "float")
            if precision == "auto":
                stage = next(iter(INT8))  # one speaks for all
                precision = "int8" if is_faster(sessions[stage], self._open(stage)) else "float"
                sessions = sessions if precision == "int8" else self._open_all(int8=False)
                _MEASURED[key] = precision
            self._sessions.update(sessions)
            self._chosen.set_result(precision)
            self._log_choice()
        except BaseException as error:
            self._chosen.set_exception(error)

    def _open_all(self, int8: bool) -> dict[str, Any]:
        """Sessions of the stages in `INT8`, by stage."""
        return {stage: self._open(stage, self._folder / file if int8 else None) for stage, file in INT8.items()}

    def _log_choice(self) -> None:
        _LOG.info("model %s runs on %s", self._folder.name, self.name)

    def _open(self, stage: str, path: Path | None = None) -> Any:  # noqa: ANN401 - onnxruntime carries no types
        return open_session(path or self._folder / f"{stage}.onnx", self._providers)


def open_session(path: Path, providers: Sequence[Any] = (_CPU,)) -> Any:  # noqa: ANN401 - onnxruntime carries no types
    """An inference session of the stage `path`. Raises `WeightsError` if it is missing or damaged.

    Its operators run in the thread that calls it: these networks are too small to gain by more, and the number of
    threads would change the last bits of the result.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: the stage is missing; fetch the model again.")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Otherwise each session keeps all memory that it has ever needed, in one block for each number of frames.
    _share_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime raises bare C++ exception types
        raise WeightsError(f"{path}: ONNX Runtime cannot read it ({error}); fetch the model again.") from error


@cache
def _share_arena() -> None:
    """Make one arena of memory for all sessions of this process that ask for it."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(0, -1, -1, -1))  # without limit, sizes by default


def _providers(device: str) -> list[Any]:
    kind, index = parse_device(device)
    if kind == "cpu" or (kind == "auto" and not cuda_is_available()):
        return [_CPU]
    if not cuda_is_available():
        raise UsageError("Device cuda: this ONNX Runtime has no CUDA; install onnxruntime-gpu or use cpu.")
    return [(_CUDA, {"device_id": index or 0}), _CPU]


def _device_name(providers: list[Any]) -> str:
    return "CPU" if providers[0] == _CPU else f"cuda:{providers[0][1]['device_id']}"
