"""Kills a command with SIGKILL at random moments, runs it again, and checks that it completes without partial files.

python tests/kills.py [dub batch prepare train adapt] --times 100 --seed 0
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dub_samples import SIZE, write_wav
from lipsmith.media import open_sound, probe, read_frames
from synthetic import make_film, speech

KILLABLE = Path(__file__).with_name("killable.py")
TINY = (
    "batch = 2\nlength = 12\nmargin = 6\n[model]\nheight = 16\nwidth = 32\nmouth_widths = [4]\nmel_widths = [4]\n"
    "blocks = 1\nembedding = 4\n"
)


def fingerprint(film: Path) -> str:
    """Hash of all decoded frames and samples."""
    digest = hashlib.sha256()
    for frame in read_frames(film):
        digest.update(f"{frame.time:.6f}".encode() + frame.image.tobytes())
    for block in open_sound(film).blocks if probe(film).has_audio else ():
        digest.update(block.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Case:
    """A command that will be killed: its arguments for a folder of results, and the contents of a complete folder."""

    words: Callable[[Path], list[str]]
    outcome: Callable[[Path], object]
    exists: int | None = None
    """Exit code where the result was there before the process was killed."""


def cases(inputs: Path) -> dict[str, Callable[[], Case]]:
    """Return the cases by name; each creates its inputs in the folder `inputs` when it is called."""
    film, words = inputs / "film.mp4", inputs / "words.wav"

    def dub() -> Case:
        make_film(film, 1.2, 25, SIZE)
        write_wav(words, speech(1.6))
        return Case(
            lambda out: ["dub", str(film), str(words), "-o", str(out / "dubbed.mp4")],
            lambda out: fingerprint(out / "dubbed.mp4"),
            exists=2,
        )

    def batch() -> Case:
        films = inputs / "films"
        films.mkdir(exist_ok=True)
        for name in ("a", "b", "c"):
            make_film(films / f"{name}.mp4", 0.4, 25, SIZE)
        short = write_wav(inputs / "short.wav", speech(0.6))
        return Case(
            lambda out: ["dub", str(films), str(short), "-o", str(out)],
            lambda out: {path.name: fingerprint(path) for path in sorted(out.glob("*.mp4"))},
        )

    def prepare() -> Case:
        footage = inputs / "footage" / "test" / "anna"
        footage.mkdir(parents=True, exist_ok=True)
        for name in ("1", "2"):
            make_film(footage / f"{name}.mp4", 1.2, 25, SIZE, audio=speech(1.2))
        return Case(
            lambda out: ["prepare", str(inputs / "footage"), str(out), "--workers", "1"],
            lambda out: {str(p.relative_to(out)): fingerprint(p) for p in sorted(out.rglob("*.mp4"))},
        )

    def train() -> Case:
        from sync_clips import write_clips

        write_clips(inputs / "data", {"train": [0], "val": [0]})
        (inputs / "tiny.toml").write_text(TINY)
        base = ["train", "sync", str(inputs / "tiny.toml"), "--data", str(inputs / "data"), "--device", "cpu"]
        return Case(
            lambda out: [*base, "--steps", "20", "--out", str(out / "run")],
            lambda out: sorted(path.name for path in (out / "run" / "sync").iterdir()),
        )

    def adapt() -> Case:
        from renderer_clips import write_model

        own = make_film(inputs / "anna.mp4", 2.4, 25, SIZE, audio=speech(2.4))
        model = write_model(inputs / "base")
        base = ["adapt", str(own), "--model", str(model), "--device", "cpu"]
        return Case(
            lambda out: [*base, "-o", str(out / "anna")],
            lambda out: {path.name: path.read_bytes() for path in (out / "anna").iterdir() if path.suffix != ".md"},
            exists=2,
        )

    return {"dub": dub, "batch": batch, "prepare": prepare, "train": train, "adapt": adapt}


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command and return its process when its work begins."""
    command = [sys.executable, str(KILLABLE), *words]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line == "ready\n":
                break
        yield run


def completed(words: list[str]) -> tuple[int, str, float]:
    """Run a command to its end; return exit code, output, and seconds of work."""
    with started(words) as run:
        began = time.monotonic()
        assert run.stderr is not None
        said = run.stderr.read()
        return run.wait(), said, time.monotonic() - began


def killed(words: list[str], after: float) -> bool:
    """Kill the process `after` seconds of work; False if it ended before."""
    with started(words) as run:
        try:
            run.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return True
    return False


def debris(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob(".lipsmith-*")]


def complaint(case: Case, expected: object, moments: list[float]) -> str | None:
    """Describe what is wrong after kills at `moments`, in seconds of work, and one more run; None if all is correct."""
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        out = Path(name)
        words = case.words(out)
        for moment in moments:
            killed(words, moment)
        code, said, _ = completed(words)
        found = case.outcome(out) if code in (0, case.exists) else None
        if found != expected:
            return (
                f"killed after {moments}: exit code {code}, {'another result' if found else 'no result'}: {said[-800:]}"
            )
        if left := debris(out):
            return f"killed after {moments}: left {left}"
    return None


def reference(case: Case) -> tuple[object, float]:
    """Return the result of an uninterrupted run and its seconds of work."""
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        code, said, seconds = completed(case.words(Path(name)))
        if code:
            raise RuntimeError(f"exit code {code}: {said[-800:]}")
        return case.outcome(Path(name)), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["dub", "batch", "prepare", "train", "adapt"])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, wrong = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory(prefix="kills-") as inputs:
        known = cases(Path(inputs))
        prepared = {name: (case := known[name](), *reference(case)) for name in options.cases}
        for number in range(options.times):
            name = options.cases[number % len(options.cases)]
            case, expected, seconds = prepared[name]
            moments = [draw.uniform(0, seconds) for _ in range(draw.choice((1, 1, 2)))]
            if (said := complaint(case, expected, moments)) is not None:
                wrong += 1
                print(f"{name}: {said}", flush=True)
            print(f"{number + 1} of {options.times}, {wrong} wrong", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
