"""Speed and peak memory of whole dubs at three sizes, and of a long film; on request beside another commit.

    python benchmarks/dub.py [--sizes 640x480 1280x720 1920x1080] [--rounds 1] [--long 600] [--against COMMIT]

The footage is the demo's face in motion at 25 frames a second, with the demo's voice. Each dub runs in a process of
its own (`benchmarks/one_dub.py`), from start to end: loading, both passes, encoding. With `--against` a worktree of
COMMIT dubs the same films in turn, and each figure is followed by that of COMMIT and the ratio. Figures are medians
of the rounds. On a machine that others use too, compare CPU seconds (`cpu_ms`), not frames a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from synthetic import SPEECH_RATE, make_film, speech  # noqa: E402

FPS = 25
Figures = dict[str, float]


def main() -> None:
    """Measure and print a table."""
    options = parsed()
    table: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder, worktree(options.against) as other:
        for name, film, seconds in films(Path(folder), options):
            words = write_speech(film.with_suffix(".wav"), seconds)
            commits = [ROOT, other] if other else [ROOT]
            table[name] = compared(commits, [str(film), str(words), f"{folder}/out.mp4"], seconds, options)
            show(name, table[name])
    if options.json:
        options.json.write_text(json.dumps({"figures": table, "settings": vars(options)}, default=str, indent=2))


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast", help="name or folder")
    parser.add_argument("--sizes", nargs="*", default=["640x480", "1280x720", "1920x1080"])
    parser.add_argument("--short", type=float, default=20, help="seconds of the clips")
    parser.add_argument("--long", type=float, default=600, help="seconds of a film at 640x480; 0 leaves it out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def films(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, Path, float]]:
    """Name, path and seconds of every film to dub."""
    for size in options.sizes:
        width, height = map(int, size.split("x"))
        yield size, make_film(folder / f"{size}.mp4", options.short, FPS, (width, height)), options.short
    if options.long:
        clip = make_film(folder / "part.mp4", options.short, FPS, (640, 480))
        yield "long", repeated(clip, options.long / options.short), options.long


@contextmanager
def worktree(commit: str | None) -> Iterator[Path | None]:
    """A checkout of `commit`, removed afterwards."""
    if commit is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "other"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "-q", "--detach", place, commit], check=True)
        try:
            yield place
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", place], check=True)


def compared(commits: list[Path], job: list[str], seconds: float, options: argparse.Namespace) -> list[Figures]:
    """Medians of each commit; they take turns, so that a machine that slows down slows all of them."""
    runs: list[list[Figures]] = [[] for _ in commits]
    for _ in range(options.rounds):
        for commit, found in zip(commits, runs, strict=True):
            found.append(measured(commit, [*job, options.model, str(options.threads)], seconds))
    return [{key: statistics.median(run[key] for run in found) for key in found[0]} for found in runs]


def measured(commit: Path, job: list[str], seconds: float) -> Figures:
    """Frames a second and CPU time a frame, of the whole process and of each pass, and peak memory of one dub."""
    command, frames = [sys.executable, str(ROOT / "benchmarks" / "one_dub.py"), *job], seconds * FPS
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(commit / "src")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    passes = json.loads(told)
    return {
        "fps": frames / elapsed,
        "first_fps": frames / passes["first"],
        "second_fps": frames / passes["second"],
        "first_cpu_ms": 1000 * passes["first_cpu"] / frames,
        "second_cpu_ms": 1000 * passes["second_cpu"] / frames,
        "cpu_ms": 1000 * (usage.ru_utime + usage.ru_stime) / frames,
        "peak_mb": usage.ru_maxrss / 1024,
        "face_px": passes["face"],
    }


def show(name: str, found: list[Figures]) -> None:
    """Print a film's figures, beside those of the other commit where there is one."""
    for key in found[0]:
        values = [figures[key] for figures in found]
        ratio = f"{values[0] / values[1]:10.2f}" if len(values) > 1 else ""
        print(f"{name:>10}.{key:13}" + "".join(f"{value:10.1f}" for value in values) + ratio, flush=True)


def write_speech(path: Path, seconds: float) -> Path:
    """The demo's voice, over and over."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes((speech(seconds) * 32767).astype(np.int16).tobytes())
    return path


def repeated(clip: Path, times: float) -> Path:
    """The clip's packets over and over, without encoding them again."""
    path = clip.with_name("film.mp4")
    with av.open(str(path), "w") as output:
        stream, offset = None, 0
        for _ in range(int(np.ceil(times))):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                packets = [packet for packet in source.demux(video) if packet.size]
                for packet in packets:
                    assert packet.pts is not None
                    assert packet.dts is not None
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = stream
                    output.mux(packet)
                assert video.time_base is not None
                offset += round(len(packets) / FPS / video.time_base)
    return path


if __name__ == "__main__":
    main()
