"""Says in one sentence why a command failed, and what to do."""

from __future__ import annotations

import sys
from errno import ENAMETOOLONG

from lipsmith.cli import FAILED, complain, printable_lines
from lipsmith.errors import LipsmithError, SomeFailedError, UsageError

EXTRAS = {
    "train": ("torch", "lightning_fabric", "tensorboard", "safetensors", "einops", "onnx"),
    "provenance": ("c2pa",),
    "serve": (
        *("fastapi", "starlette", "uvicorn", "h11", "anyio", "sqlmodel", "sqlalchemy"),
        *("sse_starlette", "prometheus_client", "python_multipart", "httpx"),
    ),
    "cluster": ("ray",),
}
"""Packages of each extra, which a plain install lacks."""


def explain(error: Exception, verbose: bool) -> int:
    """Report the error in one sentence and return its exit code."""
    if verbose:
        import traceback

        print(printable_lines("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    if isinstance(error, SomeFailedError):
        from lipsmith.cli import console

        console.table("Failed", ("item", "why"), error.failures, sys.stderr)
    if isinstance(error, LipsmithError):
        return complain(str(error), error.exit_code)
    if isinstance(error, ModuleNotFoundError):
        return complain(_missing_module(error), UsageError.exit_code)
    if isinstance(error, OSError) and error.errno == ENAMETOOLONG:
        return complain(f"{error.filename}: {error.strerror}; choose a shorter name.", UsageError.exit_code)
    if isinstance(error, OSError) and error.strerror:
        return complain(f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}.", FAILED)
    hint = "" if verbose else "; run the command again with -v for a traceback."
    return complain(f"Unexpected {type(error).__name__}: {' '.join(str(error).split())}{hint}", FAILED)


def _missing_module(error: ModuleNotFoundError) -> str:
    package = (error.name or "").split(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    if extra:
        return f'This command needs {package}, which a plain install lacks: pip install ".[{extra}]" in the clone.'
    return f"This installation is incomplete: {error}; install lipsmith again."
