"""Gives damaged and unusual media to commands, each in a process with limits, and checks their results.

python tests/fuzz.py --times 1000 --seed 0

Expected: a documented exit code, at most one sentence per file, no traceback, no leftover files, at most 30 s of
processor time and 1.5 GB of memory.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import av
import numpy as np
from PIL import Image

import killable
from dub_samples import write_wav
from synthetic import face_at, make_film, speech

SECONDS, WALL, BYTES = 30, 240, 1_500_000_000
DOCUMENTED = {0, 1, 2, 3}
NEEDED = ("cli.dub", "cli.prepare", "cli.score", "dubbing.job", "data.prepare", "evaluation.film_pairs")
"""What the commands import when they run."""
SIZE = (160, 160)
EXTREMES = (0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def film_as(path: Path, codec: str, pixels: str, rate: int = 25) -> bytes:
    """Five frames of the moving face, in the container that the suffix names."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(face_at(number / 5, SIZE), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode(None))
    return path.read_bytes()


def sound_as(path: Path, codec: str) -> bytes:
    """Half a second of speech."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        samples = (speech(0.5) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=16_000)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path.read_bytes()


def picture_as(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(face_at(0, SIZE)).save(file, kind)
    return file.getvalue()


def whole(folder: Path) -> dict[str, bytes]:
    """Small valid files by suffix."""
    films = {
        ".mp4": ("libx264", "yuv420p"),
        ".mov": ("libx264", "yuv420p"),
        ".mkv": ("libx264", "yuv420p"),
        ".webm": ("libvpx", "yuv420p"),
        ".ts": ("mpeg2video", "yuv420p"),
        ".avi": ("mpeg4", "yuv420p"),
        ".gif": ("gif", "rgb8"),
    }
    made = {suffix: film_as(folder / f"whole{suffix}", *manner) for suffix, manner in films.items()}
    made |= {
        suffix: sound_as(folder / f"sound{suffix}", codec) for suffix, codec in ((".wav", "pcm_s16le"), (".mp3", "mp3"))
    }
    return made | {".png": picture_as("PNG"), ".jpg": picture_as("JPEG")}


def flipped(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 3, 20, 200))):
        data[draw.randrange(len(data))] = draw.randrange(256)


def flipped_head(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 4, 16))):
        data[draw.randrange(min(len(data), 256))] = draw.randrange(256)


def extreme_number(data: bytearray, draw: random.Random) -> None:
    """Replace four bytes by an extreme number: most formats store sizes, counts and times in four bytes."""
    for _ in range(draw.choice((1, 2, 8))):
        at = draw.randrange(max(1, len(data) - 4))
        data[at : at + 4] = struct.pack(draw.choice("<>") + "I", draw.choice(EXTREMES))


def named_box(data: bytearray, draw: random.Random) -> None:
    """Replace a number near the name of an MP4 box or a chunk of AVI, WAV and PNG by an extreme one."""
    names = [b"stsz", b"stts", b"stsc", b"stco", b"mvhd", b"mdhd", b"tkhd", b"elst", b"ctts", b"avcC", b"moov", b"fmt ",
             b"data", b"LIST", b"idx1", b"strh", b"strf", b"IHDR", b"IDAT", b"acTL", b"movi", b"trak"]  # fmt: skip
    places = [at for name in names if (at := data.find(name)) >= 0]
    at = (draw.choice(places) if places else 0) + draw.choice((-4, 4, 8, 12, 16, 20))
    data[max(0, at) : max(0, at) + 4] = struct.pack(">I", draw.choice(EXTREMES))


def cut_off(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def hole(data: bytearray, draw: random.Random) -> None:
    at, count = draw.randrange(len(data)), draw.choice((10, 300, 3000))
    data[at : at + count] = draw.choice((b"", bytes(count), draw.randbytes(count)))


def moved(data: bytearray, draw: random.Random) -> None:
    at, count, to = draw.randrange(len(data)), draw.choice((16, 188, 2000)), draw.randrange(len(data))
    data[to:to] = data[at : at + count]


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped,
    flipped_head,
    extreme_number,
    named_box,
    cut_off,
    hole,
    moved,
)


def huge_png(folder: Path) -> Path:
    """A picture of 60,000 x 60,000 pixels, of which the file holds one row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 + 3 * 60_000))
    path = folder / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def an_hour(folder: Path) -> Path:
    """Two frames, an hour apart."""
    with av.open(str(folder / "hour.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp in (0, 3_600_000):
            frame = av.VideoFrame.from_ndarray(face_at(0, SIZE), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / "hour.mkv"


def plain(size: tuple[int, int], name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        Image.new("RGB", size, (90, 90, 90)).save(folder / name)
        return folder / name

    return make


DRAWN: tuple[Callable[[Path], Path], ...] = (
    plain((1, 1), "dot.png"),
    plain((16_000, 2), "wide.png"),
    plain((2, 16_000), "tall.jpg"),
    huge_png,
    an_hour,
)


@dataclass(frozen=True)
class Outcome:
    code: int
    said: str
    seconds: float
    """Of processor time."""
    peak: int
    """Bytes."""


def limited(words: list[str], log: Path) -> Outcome:
    """Run a command in a child of this process, which has already imported everything the command needs."""
    child = os.fork()
    if not child:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 5, SECONDS + 5))
        descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        code = 70
        try:
            code = killable.main(words)
        finally:
            sys.stderr.flush()
            os._exit(code)
    deadline = time.monotonic() + WALL
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            _, status, used = os.wait4(child, 0)
            break
        time.sleep(0.01)
    scale = 1 if sys.platform == "darwin" else 1024
    said = log.read_text(errors="replace")
    return Outcome(os.waitstatus_to_exitcode(status), said, used.ru_utime + used.ru_stime, scale * used.ru_maxrss)


def fault_of(outcome: Outcome, folder: Path) -> str | None:
    if outcome.code not in DOCUMENTED:
        return f"exit code {outcome.code}"
    if "Traceback" in outcome.said or "unexpected" in outcome.said:
        return "an error that nobody foresaw"
    if outcome.seconds > SECONDS:
        return f"{outcome.seconds:.0f} s of processor time"
    if outcome.peak > BYTES:
        return f"{outcome.peak / 1e9:.1f} GB of memory"
    if left := [path.name for path in folder.rglob(".lipsmith-*")]:
        return f"left {', '.join(left)}"
    return None


class Fuzz:
    """Inputs and commands by number, reproducible for a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        for module in NEEDED:
            importlib.import_module(f"lipsmith.{module}")
        self._folder, self._seed = folder, seed
        self._whole = whole(folder)
        self._film = make_film(folder / "film.mp4", 0.2, 25, SIZE, audio=speech(0.2))
        self._words = write_wav(folder / "words.wav", speech(0.2))

    def check(self, number: int) -> str | None:
        """Describe what is wrong with the result of a command; None if it is correct."""
        draw = random.Random(f"{self._seed} {number}")
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=self._folder) as name:
            folder = Path(name)
            given, how = self._input(draw, folder, number)
            out = folder / "out"
            out.mkdir()
            words = self._command(draw, given, out)
            outcome = limited(words, folder / "log")
            fault = fault_of(outcome, folder)
            told = " ".join(words).replace(str(self._folder), "")
            return f"{number}: {fault}: {how}: {told}: {outcome.said[-600:]}" if fault else None

    def _input(self, draw: random.Random, folder: Path, number: int) -> tuple[Path, str]:
        if number % 20 == 0:
            make = draw.choice(DRAWN)
            return make(folder), "drawn"
        suffix = draw.choice(sorted(self._whole))
        data = bytearray(self._whole[suffix])
        damages = [draw.choice(DAMAGES) for _ in range(draw.choice((1, 1, 2)))]
        for damage in damages:
            damage(data, draw)
            data = data or bytearray(b"\0")
        path = folder / f"given{suffix}"
        path.write_bytes(data)
        return path, " ".join(damage.__name__ for damage in damages)

    def _command(self, draw: random.Random, given: Path, out: Path) -> list[str]:
        film, words, result = str(self._film), str(self._words), str(out / "out.mp4")
        return draw.choice(
            (
                ["dub", str(given), words, "-o", result, "--end", "1"],
                ["dub", str(given), words, "-o", result, "--end", "1"],
                ["dub", film, str(given), "-o", result, "--fit", "cut"],
                ["dub", str(given), "--list-faces", "--end", "1"],
                ["prepare", str(given), str(out / "clips"), "--workers", "1"],
                ["score", film, str(given)],
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        fuzz = Fuzz(Path(name), options.seed)
        for number in range(options.first, options.first + options.times):
            if (said := fuzz.check(number)) is not None:
                wrong += 1
                print(said, flush=True)
            if (number + 1) % 50 == 0:
                print(f"{number + 1} done, {wrong} wrong", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
