"""What the frames of a dub depend on: the key of its finished parts, which cannot be used for any others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import av

from lipsmith import __version__
from lipsmith.dubbing.options import DubOptions
from lipsmith.files import home, state_of
from lipsmith.inference.backend import Precision
from lipsmith.inference.model_folder import ModelConfig
from lipsmith.models.third_party import THIRD_PARTY
from lipsmith.speech.conversation import Turn

_OF_NO_PICTURE: Final = frozenset({"overwrite", "resume", "precision"})
"""Options that do not affect frames; the precision in use is part of the key instead."""


def files_of(said: Path | Sequence[Turn]) -> list[Path]:
    """The files of what is said."""
    return [said] if isinstance(said, Path) else [turn.file for turn in said if turn.file]


def key_of(
    video: Path, said: Path | Sequence[Turn], options: DubOptions, model: ModelConfig, precision: Precision
) -> dict[str, Any]:
    """Everything that the frames of a dub depend on, as JSON values."""
    speeches = {f"speech {number}": file for number, file in enumerate(files_of(said))}
    inputs = {"video": video, **speeches, "background": options.background}
    manner = {f.name: getattr(options, f.name) for f in fields(DubOptions) if f.name not in {*inputs, *_OF_NO_PICTURE}}
    return {
        **surroundings(),
        "model": dict(model.files),
        "precision": precision,
        "inputs": {name: state_of(path) for name, path in inputs.items() if path},
        "turns": [] if isinstance(said, Path) else [[turn.face, turn.start, turn.end] for turn in said],
        "options": json.loads(json.dumps(manner)),
    }


def surroundings() -> dict[str, Any]:
    """What the frames depend on that is not of the dub, but of the machine."""
    return {
        "versions": [__version__, av.__version__, str(av.library_versions["libavcodec"])],
        "people": (home() / "weights" / THIRD_PARTY["sface"].file).is_file(),
    }
