"""Speed and memory of `lipsmith prepare`: `python benchmarks/prepare.py [--footage DIR] [--json FILE]`.

Speed: frames a second end to end on two workers. Without --footage it is that of the demo's face, 300 x 300 at 25 a
second. On a busy machine the second figure is the one to compare: frames a second of processor time, times two.

Memory: the most that one worker holds, in a fresh process each, for ten seconds of film and for --minutes of it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from lipsmith.data.prepare import prepare
from synthetic import make_film, speech

SIDE = 300
LOOP = 10.0
"""Seconds of the film that the long one repeats."""


def loop(film: Path, times: int, path: Path) -> Path:
    """The film `times` times after each other, without a new compression."""
    with av.open(str(film)) as source, av.open(str(path), "w") as result:
        streams = [result.add_stream_from_template(stream) for stream in source.streams]
        last = [-(2**62)] * len(streams)
        for turn in range(times):
            source.seek(0)
            for packet in source.demux():
                if packet.dts is None or packet.pts is None:
                    continue
                shift = round(turn * LOOP / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                if packet.dts <= last[packet.stream_index]:
                    continue  # the sound's last packet reaches a little beyond the picture
                last[packet.stream_index] = packet.dts
                packet.stream = streams[packet.stream_index]
                result.mux(packet)
    return path


def speed(sources: list[Path], folder: Path) -> dict[str, float]:
    """Frames a second of the clock, and of two processors that do nothing else."""
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = prepare(sources, folder, workers=2)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    frames = sum(record.frames for record in summary.fresh)
    return {
        "frames": frames,
        "fps": frames / seconds,
        "fps_of_two_processors": 2 * frames / processor,
    }


def memory(film: Path, folder: Path) -> dict[str, float]:
    """Frames prepared, and the most that the process held, in MB."""
    command = [sys.executable, __file__, "--alone", str(film), str(folder)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def alone(film: Path, folder: Path) -> None:
    summary = prepare([film], folder, workers=1)
    frames = sum(record.frames for record in summary.fresh)
    print(json.dumps({"frames": frames, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def measure(footage: Path | None, minutes: float, fps: float, folder: Path) -> dict[str, float]:
    fast = make_film(folder / "ten.mp4", LOOP, 25, (SIDE, SIDE), audio=speech(LOOP))
    sources = [footage] if footage else [loop(fast, 1, folder / f"{name}.mp4") for name in "abcd"]
    figures = speed(sources, folder / "speed")
    short = make_film(folder / "short.mp4", LOOP, fps, (SIDE, SIDE), audio=speech(LOOP))
    long = loop(short, round(60 * minutes / LOOP), folder / "long.mp4")
    peaks = {film.stem: memory(film, folder / f"memory_{film.stem}") for film in (short, long)}
    figures |= {f"{name}_{key}": value for name, peak in peaks.items() for key, value in peak.items()}
    return figures | {"growth_mb": peaks["long"]["mb"] - peaks["short"]["mb"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--footage", type=Path, help="measure the speed on this folder of films")
    parser.add_argument("--minutes", type=float, default=10, help="length of the long film")
    parser.add_argument("--fps", type=float, default=25, help="frames a second of the films that memory is measured on")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--alone", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(*options.alone)
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.footage, options.minutes, options.fps, Path(folder))
    for name, value in figures.items():
        print(f"{name:36} {value:9.1f}")
    if options.json:
        settings = {"footage": str(options.footage), "minutes": options.minutes, "fps": options.fps}
        options.json.write_text(json.dumps({"figures": figures, "settings": settings, "rows": []}, indent=1))


if __name__ == "__main__":
    main()
