"""Trains the systems of the paper's tables on the same clips for equal times, evaluates them, and writes the tables.

    python benchmarks/reproduce.py --data data --out runs/tables [--minutes 25] [--device auto] [--small] [--piece 10]

The systems are Wav2Lip, IP_LAP, the paper's renderer (`paper`) and its ablations without alignment, lip references and
audio. A third of the time is left for the evaluation. Every training and every table that is complete is kept: the same
command goes on where the last one stopped. `--piece` ends a call after that many minutes, with exit code 75 if
something is left; a training then goes on from its last half minute, a table begins again.

`--small` trains narrow networks. On a CPU that is all; a GPU trains them several at a time, in larger batches:
`--small --at-once 6 --clips 16`. `--samples` gives every system as many samples, and tells the time, instead of equal
times.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from lipsmith.inference.model_folder import usable_cores
from lipsmith.training.renderer.systems import load_training

TIME_IS_UP: Final = 75
"""Exit code where the time of this call is over."""
PARTS: Final = ("alignment", "lips", "audio")
CHECKPOINT_MINUTES: Final = 0.5
WIDE, NARROW = ("wav2lip", "iplap", "paper"), ("wav2lip_small", "iplap_small", "paper_small")


@dataclass(frozen=True)
class Command:
    """A command of lipsmith, and the file that shows that it is complete."""

    words: list[str]
    done: Path


def main() -> int:
    """Run what is missing; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="prepared clips with train, val and test")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and tables")
    parser.add_argument("--minutes", type=float, default=25, help="of everything together")
    parser.add_argument("--piece", type=float, help="minutes of this call")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true", help="narrow networks")
    parser.add_argument("--at-once", type=int, default=1, help="trainings, or tables, that share the device")
    parser.add_argument("--clips", type=int, help="clips per training step, instead of those of the configs")
    parser.add_argument("--samples", type=int, help="targets that every training sees, instead of equal times")
    parser.add_argument("--only-train", action="store_true", help="no tables yet")
    parser.add_argument("--splits", nargs="*", default=["val", "test"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    ends = None if options.piece is None else time.monotonic() + 60 * options.piece
    for commands in (trainings(options), [] if options.only_train else tables(options)):
        with ThreadPoolExecutor(options.at_once) as pool:
            if not all(list(pool.map(lambda command: finished(command, ends), commands))):
                return TIME_IS_UP
    return 0


def trainings(options: argparse.Namespace) -> list[Command]:
    """A run for each system and each ablation of the paper's renderer."""
    names = NARROW if options.small else WIDE
    paper = names[-1]
    runs: dict[str, tuple[str, list[str]]] = {name: (name, []) for name in names}
    runs |= {f"{paper}_without_{part}": (paper, ["--without", part]) for part in PARTS}
    commands = []
    for name, (config, without) in runs.items():
        out, text = options.out / name, packaged(config)
        own = {"checkpoint_minutes": CHECKPOINT_MINUTES} | ({"clips": options.clips} if options.clips else {})
        path = options.out / f"{config}.toml"
        path.write_text(changed(text, own), encoding="utf-8")
        words = ["train", "renderer", str(path), "--data", str(options.data), "--out", str(out)]
        words += ["--device", options.device, *length(options, path, len(runs)), *without]
        commands.append(Command(words, out / "done"))
    return commands


def length(options: argparse.Namespace, config: Path, runs: int) -> list[str]:
    """The steps of a training that sees `--samples`, else its share of the minutes."""
    if options.samples is None:
        minutes = 2 / 3 * options.minutes / -(-runs // options.at_once)
        return ["--minutes", f"{minutes:g}"]
    training = load_training(config)
    return ["--steps", str(-(-options.samples // (training.clips * training.targets)))]


def packaged(config: str) -> str:
    """The text of a packaged config."""
    return (resources.files("lipsmith") / "configs" / "renderer" / f"{config}.toml").read_text(encoding="utf-8")


def changed(text: str, own: Mapping[str, float]) -> str:
    """The text of a config with other values of its first table. Frequent checkpoints make the end of a piece cheap."""
    for name, value in own.items():
        text = re.sub(rf"^{name} = .*\n", "", text, flags=re.MULTILINE)
        text = re.sub(r"^(?=\[|\Z)", f"{name} = {value}\n", text, count=1, flags=re.MULTILINE)
    return text


def tables(options: argparse.Namespace) -> list[Command]:
    """Table 1 with true and predicted landmarks, and Tables 2 and 3 of the paper's renderer."""
    runs = [training.done.parent for training in trainings(options)]
    paper = str(runs[2])
    variants = ["--variant", *(f"{run.name}={run}" for run in runs)]
    commands = []
    for split in options.splits:
        for landmarks in ("true", "predicted"):
            words = ["--model", "fast", "--landmarks", landmarks, *variants]
            commands.append(table(options, f"table1_{split}_{landmarks}", [*words, "--split", split]))
        for number in ("2", "3"):
            words = ["--model", paper, "--table", number, "--split", split]
            commands.append(table(options, f"table{number}_{split}", words))
    return commands


def table(options: argparse.Namespace, name: str, words: list[str]) -> Command:
    """The command that writes a table as JSON and as Markdown; the latter comes last."""
    files = options.out / f"{name}.json", options.out / f"{name}.md"
    written = ["--json", str(files[0]), "--markdown", str(files[1]), "--overwrite"]
    threads = max(1, usable_cores() // options.at_once)
    shared = ["--device", options.device, "--threads", str(threads)]
    return Command(["evaluate", str(options.data), *shared, *words, *written], files[1])


def finished(command: Command, ends: float | None) -> bool:
    """Run a command that is not complete yet; False if the time of this call is over before it is."""
    if command.done.exists():
        return True
    # In one write: the lines of several threads would mix.
    print(f"lipsmith {' '.join(command.words)}\n", end="", flush=True)
    left = None if ends is None else ends - time.monotonic()
    if left is not None and left <= 0:
        return False
    try:
        subprocess.run([sys.executable, "-m", "lipsmith", *command.words], check=True, timeout=left)
    except subprocess.TimeoutExpired:
        return False
    command.done.touch()
    return True


if __name__ == "__main__":
    sys.exit(main())
