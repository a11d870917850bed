"""The command line with cheap stand-ins for the networks and parts of few frames, for a process that will be killed.

Prints a line when all imports are done and the work begins.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))

from double import SIZES, Double
from lipsmith import cli
from lipsmith.inference.model_folder import ModelFolder, write_config

PART = 6
DUB = {
    "dubbing.pipeline.find_model": lambda *_: ModelFolder(Path("double"), SIZES),
    "dubbing.pipeline.load_backend": lambda *_: Double(),
    **dict.fromkeys(("dubbing.draw.PART", "dubbing.job.PART", "dubbing.parts.PART"), PART),
}


def main(words: list[str]) -> int:
    module = cli.load_verb(cli.split_verb(words)[0])
    cli.parse_options(words[0], module, words[1:]) if words[0] == "dub" else None
    with ExitStack() as patches:
        for place, value in {**DUB, **(adapt_parts() if words[0] == "adapt" else {})}.items():
            patches.enter_context(mock.patch(f"lipsmith.{place}", value))
        sys.stderr.write("ready\n")
        sys.stderr.flush()
        return cli.main(words)


def adapt_parts() -> dict[str, object]:
    """A training of few steps, and a cheap stand-in for the export."""
    from lipsmith.inference.weights import WEIGHTS
    from renderer_clips import SMALL

    def export(landmarks: Path, renderer: Path, folder: Path, name: str, **_: object) -> None:
        (folder / WEIGHTS).write_bytes((renderer / "renderer.safetensors").read_bytes())
        time.sleep(0.1)
        write_config(folder, {"name": name})
        time.sleep(0.1)

    config = replace(SMALL, train_only="decoder", gan_from=2.0, steps=30, validate_every=5)
    parts = {"find_vgg": lambda: None, "adaptation_config": lambda *_: config, "export": export}
    return {f"adaptation.job.{name}": part for name, part in (parts | {"quantize": lambda *_: None}).items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
