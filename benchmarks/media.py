"""Speed and memory of reading and writing films: `python benchmarks/media.py --seconds 10 60 --json out.json`.

Writes a moving gradient of the given size with noise for sound, reads both back and prints a row for each
length. Memory that grows with the length would show in `peak_mb`, which is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from lipsmith.media import VideoWriter, read_frames
from lipsmith.media.sound import sound_of
from lipsmith.speech.mel import SAMPLE_RATE, mel_spectrogram, read_audio

RATE = 25


def measure(seconds: int, width: int, height: int) -> dict[str, float]:
    """Frames a second of writing and reading, seconds of sound read a second, and peak memory in MB."""
    x, y = np.meshgrid(np.linspace(0, 127, width), np.linspace(0, 127, height))
    image = np.stack([x, y, x + y], axis=-1).astype(np.uint8)
    voice = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
    frames = seconds * RATE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        begin = time.perf_counter()
        with VideoWriter(path, width, height, RATE, sound=sound_of(voice, SAMPLE_RATE)) as writer:
            for index in range(frames):
                writer.write(np.roll(image, 3 * index, axis=1))
        wrote = time.perf_counter()
        read = sum(1 for _ in read_frames(path))
        seen = time.perf_counter()
        mel_spectrogram(read_audio(path))
        heard = time.perf_counter()
    return {
        "seconds": seconds,
        "frames": read,
        "write_fps": frames / (wrote - begin),
        "read_fps": frames / (seen - wrote),
        "audio_x_real_time": seconds / (heard - seen),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60])
    parser.add_argument("--size", type=int, nargs=2, default=[1280, 720], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for seconds in options.seconds:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measure, (seconds, *options.size)))
        print("  ".join(f"{name} {value:.1f}" for name, value in rows[-1].items()))
    if options.json:
        figures = {name: rows[-1][name] for name in ("write_fps", "read_fps", "peak_mb", "frames")}
        settings = {"seconds": options.seconds, "size": options.size}
        options.json.write_text(json.dumps({"figures": figures, "settings": settings, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
