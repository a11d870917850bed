"""Memory, and drift of sound against picture, in long dubs at several frame rates.

    python benchmarks/long.py [--rates 23.976 25 29.97 59.94 variable] [--seconds 600] [--faces all|ends]

Every 20 s the film flashes a white square, and the speech clicks at the same moment. The drift is the time from the
flash to the click in the result: at the first one, at the last one, and where it is largest. Peak memory is compared
with that of a film of ten seconds. With `--faces ends`, the moving demo face is shown only in the first and the last
20 s, so that the dub takes less time. Each dub is a `lipsmith dub` in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lipsmith.media import VideoWriter, read_frames  # noqa: E402
from lipsmith.speech.mel import read_audio  # noqa: E402
from synthetic import SPEECH_RATE, face_at, speech  # noqa: E402

RATES = {
    "23.976": Fraction(24000, 1001),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "59.94": Fraction(60000, 1001),
    "variable": Fraction(25),
}
PART = 20.0
"""Seconds, about, of the part that the film repeats."""
FLASH, LASTING = 10.0, 0.2
"""Seconds in the part at which the flash begins, and for which it lasts."""
CLICK = np.array([0.9, -0.9], np.float32).repeat(20)


def main() -> None:
    """Print a line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", nargs="*", choices=RATES, default=list(RATES))
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--faces", choices=("all", "ends"), default="all")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    for rate in options.rates:
        with tempfile.TemporaryDirectory() as folder:
            measure(rate, (width, height), options, Path(folder))


def measure(rate: str, size: tuple[int, int], options: argparse.Namespace, folder: Path) -> None:
    """Dub a film of `options.seconds` and one of ten seconds, and print their figures."""
    times = part_times(rate)
    face = write_part(folder / "face.mp4", times, rate, size, face=True)
    count = max(1, round(options.seconds / PART))
    between = write_part(folder / "none.mp4", times, rate, size, face=False) if options.faces == "ends" else face
    length = len(times) / RATES[rate]
    film = joined([face, *[between] * (count - 2), face][:count], length, folder / "film.mp4")
    moments = [number * float(length) + flash_time(times) for number in range(count)]
    peak = dub(film, write_speech(folder / "speech.wav", count * float(length), moments), folder / "out.mp4", options)
    short = dub(face, write_speech(folder / "short.wav", 10.0, []), folder / "short.mp4", options)
    heard = read_audio(folder / "out.mp4")
    drifts = [drift(folder / "out.mp4", heard, moment) for moment in moments]
    worst, frame = max(drifts, key=abs), 1000 / float(RATES[rate])
    print(
        f"{rate:>8} frames per second, {count * float(length):.1f} s: {peak:.0f} MB, {peak - short:+.0f} MB to 10 s; "
        f"sound after picture {drifts[0]:+.1f} ms first, {drifts[-1]:+.1f} ms last, {worst:+.1f} ms worst "
        f"({abs(worst) / frame:.2f} frames)",
        flush=True,
    )


def part_times(rate: str) -> NDArray[np.float64]:
    """Times of the frames of a part; at the variable rate they are up to 15 ms early or late."""
    times = np.arange(round(PART * RATES[rate])) / float(RATES[rate])
    if rate == "variable":
        times[1:] += np.random.default_rng(0).uniform(-0.015, 0.015, len(times) - 1)
    return times


def flash_time(times: NDArray[np.float64]) -> float:
    """Time of the first frame with the flash."""
    return float(times[np.searchsorted(times, FLASH)])


def write_part(path: Path, times: NDArray[np.float64], rate: str, size: tuple[int, int], *, face: bool) -> Path:
    """Write a part of the film, with or without the face."""
    plain = cv2.GaussianBlur(face_at(0, size), (0, 0), size[1] / 8)
    with VideoWriter(path, *size, float(RATES[rate])) as film:
        for time in times:
            image = face_at(time, size) if face else plain.copy()
            lit = flash_time(times) <= time < FLASH + LASTING
            image[: size[1] // 8, : size[1] // 8] = 255 if lit else 0
            film.write(np.asarray(image, np.uint8), time)
    return path


def joined(parts: list[Path], length: Fraction, path: Path) -> Path:
    """The packets of the parts, of `length` seconds each, without encoding them again."""
    with av.open(str(path), "w") as output:
        stream = None
        for number, part in enumerate(parts):
            with av.open(str(part)) as source:
                video = source.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                assert video.time_base is not None
                offset = round(number * length / video.time_base)
                for packet in source.demux(video):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = stream
                        output.mux(packet)
    return path


def write_speech(path: Path, seconds: float, moments: list[float]) -> Path:
    """The demo voice at a third of its level, with clicks."""
    samples = speech(seconds) / 3
    for moment in moments:
        begin = round(moment * SPEECH_RATE)
        samples[begin : begin + len(CLICK)] = CLICK[: len(samples) - begin]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes((samples * 32767).astype(np.int16).tobytes())
    return path


def dub(film: Path, words: Path, out: Path, options: argparse.Namespace) -> float:
    """Dub and return the peak memory of the command in MB."""
    job = [str(film), str(words), "-o", str(out), "--threads", str(options.threads), "-q"]
    command = [sys.executable, "-m", "lipsmith", "dub", *job]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024


def drift(film: Path, heard: NDArray[np.float32], moment: float) -> float:
    """Time from the flash to the click near `moment` of a film with the sound `heard`, in ms."""
    frames = read_frames(film, start=moment - 0.5, end=moment + 0.5)
    shown = next(frame.time for frame in frames if frame.image[4:20, 4:20].mean() > 128)
    begin = round((moment - 0.5) * SPEECH_RATE)
    return 1000 * float((begin + np.argmax(np.abs(heard[begin : begin + SPEECH_RATE]) > 0.5)) / SPEECH_RATE - shown)


if __name__ == "__main__":
    main()
