"""Dub a video: the same footage, with lips, chin and cheeks moving to new speech.

    lipsmith.dub("interview.mp4", "speech.wav", "dubbed.mp4")

or, to dub one film with several speech recordings:

    clip = lipsmith.Dubber.from_pretrained("fast").prepare("interview.mp4")
    clip.dub("speech.wav").save("dubbed.mp4")
"""

from __future__ import annotations

import os
from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lipsmith import errors
    from lipsmith.adaptation.job import adapt as adapt
    from lipsmith.dubbing.job import dub
    from lipsmith.dubbing.options import DubOptions
    from lipsmith.dubbing.pipeline import Clip, Dubber, Result
    from lipsmith.dubbing.scan import Face
    from lipsmith.speech.conversation import Turn

# ONNX Runtime reads this on import; without it, ONNX Runtime stores an identifier and sends telemetry.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["Clip", "DubOptions", "Dubber", "Face", "Result", "Turn", "__version__", "dub", "errors"]
"""Without `adapt`, which needs torch: `from lipsmith import *` works with a plain install."""

_HOMES = {
    "Clip": "dubbing.pipeline",
    "DubOptions": "dubbing.options",
    "Dubber": "dubbing.pipeline",
    "Face": "dubbing.scan",
    "Result": "dubbing.pipeline",
    "Turn": "speech.conversation",
    "adapt": "adaptation.job",
    "dub": "dubbing.job",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module protocol leaves the type open
    """Import on first use, so that `import lipsmith` is fast."""
    if name == "errors":
        return import_module("lipsmith.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'lipsmith' has no attribute {name!r}")
    value = getattr(import_module(f"lipsmith.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The package's names and the modules that are loaded, without what this file imports for itself.

    A plain install has no `adapt`: `help(lipsmith)` asks for all that is named here, and would fail.
    """
    from importlib.util import find_spec

    own = {name for name in globals() if name.startswith("__") or f"{__name__}.{name}" in modules}
    return sorted({*own, *__all__, *(["adapt"] if find_spec("torch") else [])})
