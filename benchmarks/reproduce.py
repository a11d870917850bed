"""Trains the systems of the paper's tables on the same clips for equal times, evaluates them, and writes the tables.

    python benchmarks/reproduce.py --data data --out runs/tables [--minutes 25] [--device auto] [--small] [--piece 10]

The systems are Wav2Lip, IP_LAP, the paper's renderer (`paper`) and its ablations without alignment, lip references and
audio. A third of the time is left for the evaluation. Every training and every table that is complete is kept: the same
command goes on where the last one stopped. `--piece` ends a call after that many minutes, with exit code 75 if
something is left; a training then goes on from its last half minute, a table begins again. `--small` trains narrow
networks, for a CPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

UNFINISHED: Final = 75
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
    parser.add_argument("--splits", nargs="*", default=["val", "test"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    ends = None if options.piece is None else time.monotonic() + 60 * options.piece
    for command in [*trainings(options), *tables(options)]:
        if command.done.exists():
            continue
        print("lipsmith", *command.words, flush=True)
        if not finished(command, ends):
            return UNFINISHED
    return 0


def trainings(options: argparse.Namespace) -> list[Command]:
    """A run for each system and each ablation of the paper's renderer."""
    names = NARROW if options.small else WIDE
    paper = names[-1]
    runs = {name: (name, []) for name in names}
    runs |= {f"{paper}_without_{part}": (paper, ["--without", part]) for part in PARTS}
    minutes = 2 / 3 * options.minutes / len(runs)
    commands = []
    for name, (config, without) in runs.items():
        out = options.out / name
        words = ["train", "renderer", str(often_saved(config, options.out)), "--data", str(options.data)]
        words += ["--out", str(out), "--minutes", f"{minutes:g}", "--device", options.device, *without]
        commands.append(Command(words, out / "done"))
    return commands


def often_saved(config: str, folder: Path) -> Path:
    """A copy of a packaged config that saves checkpoints often, so that the end of a piece costs little."""
    text = (resources.files("lipsmith") / "configs" / "renderer" / f"{config}.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("checkpoint_minutes")]
    first_table = next((at for at, line in enumerate(lines) if line.startswith("[")), len(lines))
    lines.insert(first_table, f"checkpoint_minutes = {CHECKPOINT_MINUTES}\n")
    path = folder / f"{config}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


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
    return Command(["evaluate", str(options.data), "--device", options.device, *words, *written], files[1])


def finished(command: Command, ends: float | None) -> bool:
    """Run a command; False if the time of this call is over before it is complete."""
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
