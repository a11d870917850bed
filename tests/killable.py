"""The command line with cheap stand-ins for the networks and parts of few frames, for a process that will be killed.

Prints a line when all imports are done and the work begins.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))

from double import SIZES, Double
from lipsmith import cli
from lipsmith.inference.model_folder import ModelFolder

PART = 6


def main(words: list[str]) -> int:
    module = cli.load_verb(cli.split_verb(words)[0])
    cli.parse_options(words[0], module, words[1:]) if words[0] == "dub" else None
    with (
        mock.patch("lipsmith.dubbing.pipeline.find_model", return_value=ModelFolder(Path("double"), SIZES)),
        mock.patch("lipsmith.dubbing.pipeline.load_backend", return_value=Double()),
        mock.patch("lipsmith.dubbing.mouth.PART", PART),
        mock.patch("lipsmith.dubbing.job.PART", PART),
        mock.patch("lipsmith.dubbing.parts.PART", PART),
    ):
        sys.stderr.write("ready\n")
        sys.stderr.flush()
        return cli.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
