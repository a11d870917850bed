"""Whole-process speed and peak memory of `lipsmith dub`, for a short clip and a long film.

    python benchmarks/dub.py [--model fast] [--long 600] [--json FILE]

The footage is the demo's face in motion at 640x480 and 25 frames a second, with the demo's voice. Each command runs
on its own, from start to end: loading, both passes, encoding. The long film is the short one over and over.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from synthetic import SPEECH_RATE, make_film, speech  # noqa: E402

FPS = 25
SIZE = (640, 480)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fast", help="name or folder")
    parser.add_argument("--short", type=float, default=20, help="seconds of the clip")
    parser.add_argument("--long", type=float, default=600, help="seconds of the film; 0 leaves it out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = make_film(Path(folder) / "clip.mp4", options.short, FPS, SIZE)
        for name, seconds in (("short", options.short), ("long", options.long)):
            if seconds:
                film = repeated(clip, seconds / options.short) if seconds > options.short else clip
                figures |= measured(name, film, seconds, options.model, options.threads)
    for name, value in figures.items():
        print(f"{name:16} {value:10.1f}")
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "settings": vars(options)}, default=str, indent=2))


def measured(name: str, film: Path, seconds: float, model: str, threads: int) -> dict[str, float]:
    """Frames a second and peak memory of one dub, the process's start included."""
    words = write_speech(film.with_name(f"{name}.wav"), seconds)
    command = [sys.executable, "-m", "lipsmith", "dub", str(film), str(words), "-o", str(film.with_name("out.mp4"))]
    command += ["--overwrite", "--model", model, "--threads", str(threads), "-q"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {
        f"{name}.frames": seconds * FPS,
        f"{name}.fps": seconds * FPS / elapsed,
        f"{name}.cpu_ms": 1000 * (usage.ru_utime + usage.ru_stime) / (seconds * FPS),
        f"{name}.peak_mb": usage.ru_maxrss / 1024,
    }


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
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = stream
                    output.mux(packet)
                offset += round(len(packets) / FPS / video.time_base)
    return path


if __name__ == "__main__":
    main()
